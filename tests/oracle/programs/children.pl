# SPDX-License-Identifier: MIT
# Children as perl makes them: fork, exec, system, backticks, pipes in both directions, signals.
use strict;
use warnings;
use IPC::Open3;
use POSIX ();

sub reap { waitpid($_[0], 0); return $? }

for my $code (0 .. 4) {
    my $pid = fork // die;
    exit $code if !$pid;
    die if reap($pid) != $code << 8;
}
my $pid = fork // die;
if (!$pid) { exec '/bin/sh', '-c', 'exit 6' or die }
die if reap($pid) != 6 << 8;
$pid = fork // die;
if (!$pid) { POSIX::_exit(system('/bin/true')) }
die if reap($pid) != 0;
$pid = fork // die;
if (!$pid) { kill 'KILL', $$; sleep 1000 }
die if reap($pid) != 9;

die if system('exit 3;') != 3 << 8;
die if system('/bin/true') != 0;
{ no warnings; die if system('/nowhere') != -1 }
die if `seq 3 | wc -l` != 3;
die if join('', map { `echo $_` } 1 .. 3) ne "1\n2\n3\n";
open my $from, '-|', 'sort', '-r', '/dev/null' or die;
close $from;
open my $to, '|-', 'cat >/dev/null; exit 2' or die;
print $to "x\n";
close $to;
die if $? != 2 << 8;
$pid = open my $itself, '-|';
if (!$pid) { print "from the child\n"; exit 0 }
die if <$itself> ne "from the child\n";
close $itself;
$pid = open3(my $in, my $out, undef, 'tr', 'a', 'b');
print $in "a\n";
close $in;
die if <$out> ne "b\n";
die if reap($pid) != 0;
{ local %ENV = (PATH => $ENV{PATH}); die if system('env -i /bin/true') != 0 }

if ($> == 0) {
    $pid = fork // die;
    if (!$pid) { $) = '11 11'; $> = 11; $> = 0; $< = 12; exit 0 }
    die if reap($pid) != 0;
}
exit 31;
