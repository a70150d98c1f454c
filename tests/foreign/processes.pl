# SPDX-License-Identifier: MIT
# What perl does with processes: fork, system, backticks, open on pipes, wait, signals, END.
use strict;
use warnings;
use POSIX ":sys_wait_h";
$| = 1;

my $pid = fork // die;
POSIX::_exit(3) unless $pid;
waitpid($pid, 0);
print "fork: ", $? >> 8, "\n";
print "system: ", system("sh", "-c", "exit 4") >> 8, "\n";
print "shell: ", system("exit 5; true") >> 8, "\n";
{ no warnings; print "missing: ", system("/no/such/file"), " $!\n"; }
print "backticks: ", `echo inside`, $? >> 8, "\n";
open(my $out, "|-", "cat") or die;
print $out "written to cat\n";
close($out);
open(my $in, "-|", "sh", "-c", "echo read; exit 6") or die;
print <$in>;
close($in);
print "closed: ", $? >> 8, "\n";
open(my $self, "-|") // die or do { print "from my own fork\n"; exit 7 };
print <$self>;
close($self);
print "own: ", $? >> 8, "\n";
my $dead = 0;
local $SIG{CHLD} = sub { $dead++ while waitpid(-1, WNOHANG) > 0 };
for (1 .. 10) { my $child = fork // die; POSIX::_exit(0) unless $child }
select(undef, undef, undef, 0.01) while $dead < 10;
print "dead: $dead\n";
$SIG{CHLD} = "DEFAULT";
$pid = fork // die;
unless ($pid) { kill "TERM", $$; sleep 100 }
waitpid($pid, 0);
print "signal: ", $? & 127, "\n";
print "none left: ", wait, "\n";
my $parent = $$;
END { if ($parent && $$ == $parent) { print "END\n"; $? = 9 } }
