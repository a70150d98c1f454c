#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck disable=all  # odd constructs are what is under test
# git with its children: hooks, a clone, a merge, a rebase with an editor, fsck, gc.
export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org
export GIT_AUTHOR_DATE='1000000000 +0000' GIT_COMMITTER_DATE='1000000000 +0000'
git -c init.defaultBranch=main init -q repository
cd repository || exit
git config gc.auto 0
echo '#!/bin/sh
echo hook runs' >.git/hooks/post-commit
chmod +x .git/hooks/post-commit
for n in 1 2 3; do
    seq "$n" 40 >"file$n"
    git add .
    git commit -q -m "number $n"
done
git checkout -q -b side HEAD~1
echo side >side
git add . && git commit -q -m side
git merge -q -m merged main
git log --oneline --graph
GIT_SEQUENCE_EDITOR="sed -i 's/^pick/reword/'" GIT_EDITOR="sed -i 's/side/reworded/'" git rebase -q -i --onto main~2 side~1 side
git log -1 --format=%s
git diff --stat main | cat
git grep -c 7
git stash list
git clone -q . ../copy 2>&1
git -C ../copy log --format=%s | tail -1
git gc -q --prune=now
git fsck --no-progress
git no-such-command
echo "unknown: $?"
git archive HEAD | tar -t
git bundle create -q ../bundle main && git bundle verify -q ../bundle
git -c alias.again='!echo alias runs $0' again | head -1
