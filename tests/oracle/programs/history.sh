# SPDX-License-Identifier: MIT
# Git with the helpers that it starts: hooks, aliases, filters, merge drivers, a bisection, packs, a clone, a fetch.
set -e
export GIT_CONFIG_GLOBAL="$PWD/config"
git init -q one
cd one
git config alias.twice '!git rev-parse HEAD && git rev-parse HEAD'
git config filter.upper.clean 'tr a-z A-Z'
git config filter.upper.smudge 'tr A-Z a-z'
git config merge.mine.driver 'cat %B >>%A'
printf '*.txt filter=upper\n*.log merge=mine\n' >.gitattributes
printf '#!/bin/sh\necho hook >/dev/null | cat\n' >.git/hooks/pre-commit
chmod +x .git/hooks/pre-commit
cp .git/hooks/pre-commit .git/hooks/post-merge
for n in 1 2 3 4; do
    echo "line $n" >>a.txt
    echo "$n" >"file$n"
    git add .
    git commit -q -m "step $n"
done
git twice >/dev/null
git -c core.pager=cat -p log --oneline >/dev/null
git checkout -q -b side HEAD~2
echo side >b.log
git add .
git commit -q -m side
git checkout -q main
echo main >b.log
git add .
git commit -q -m main
git merge -q -m merged side
git rebase -q --exec true HEAD~1
git bisect start -q HEAD HEAD~4 >/dev/null
git bisect run sh -c 'test ! -e file4' >/dev/null 2>&1 || true
git bisect reset -q 2>/dev/null || git bisect reset >/dev/null 2>&1
git stash -q || true
git repack -adq
git gc -q
cd ..
git clone -q "file://$PWD/one" two
git clone -q --bare one three
git -C one remote add three "file://$PWD/three"
git -C one tag new
git -C one push -q three new
git -C two fetch -q
git -C two fsck --no-progress
! git -C two nowhere 2>/dev/null
exit 19
