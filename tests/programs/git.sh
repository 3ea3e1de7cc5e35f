#!/bin/bash
# git.sh - git: a history, merges, packs made by threads, clones over pipes.
. "$(dirname "$0")/harness.sh"

# Names and dates are fixed, so that objects and packs are the same each time.
# The index holds inode numbers and goes in the end.
configure()
{
	export GIT_AUTHOR_DATE='2026-01-01 12:00:00 +0000'
	export GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
	git config --global user.name Tester
	git config --global user.email tester@example.org
	git config --global init.defaultBranch main
	git config --global pack.threads 1
	git config --global protocol.file.allow always
	git config --global gc.auto 0
	git config --global gc.pruneExpire never
}

forget_index()
{
	find . -name index -delete
	find . -name 'multi-pack-index*' -delete
}

prepare()
{
	mkdir files
	for i in $(seq 1 120); do
		seq "$i" 3 $((i + 3000)) >"files/f$i.txt"
	done
	head -c 400000 /usr/bin/env >files/binary
}

history()
{
	configure
	git init repo && cd repo
	cp "$input"/files/* . && git add . && git commit -q -m 'first of all'
	for i in $(seq 1 12); do
		sed -i "$((i * 5))s/.*/changed $i/" "f$i.txt" f100.txt
		git commit -q -a -m "change $i"
	done
	git branch -m trunk; git checkout -q -b side HEAD~4
	git mv f7.txt moved.txt; sed -i 1d moved.txt f110.txt
	git commit -q -a -m 'on the side'; git checkout -q trunk
	git merge -m 'join' side
	git checkout -q -b conflict HEAD~3; echo other >f100.txt
	git commit -q -a -m 'will conflict'
	status git merge trunk; git merge --abort
	git checkout -q trunk; git tag -a -m 'a tag' v1
	git log --graph --stat --format='%h %an %ad %s' -M
	git log -p -S'changed 3' --oneline | head -n 20
	git diff --stat -C v1~3 v1; git show --name-status HEAD
	git blame -s f100.txt | head -n 8; git grep -c changed | head -n 5
	git rev-list --objects --all | wc -l; git shortlog -s -n HEAD
	status git rebase --onto trunk HEAD~1 conflict
	git rebase --abort; git checkout -q trunk; git stash list
	echo dirty >>f1.txt; git status --short; git stash -q; git status -s
	git cherry-pick conflict || git cherry-pick --abort
	git bisect start v1 v1~8; git bisect run sh -c '! grep -q "changed 9" f9.txt'
	git bisect reset; git archive --format=tar v1 | cksum
	status git show nosuchthing
	git fsck --full --strict; git reflog | wc -l
	forget_index
}

transport()
{
	configure
	git init -q --bare up.git; git init -q repo; cd repo
	cp "$input"/files/* . && git add . && git commit -q -m 'first'
	for i in $(seq 1 8); do
		sed -i "${i}s/.*/x/" "f$i.txt"; git commit -q -a -m "c $i"
	done
	git remote add up ../up.git; git push -q up main; cd ..
	git clone -q "file://$PWD/up.git" clone
	git clone -q --depth 4 "file://$PWD/up.git" shallow
	git -C shallow log --oneline; git -C clone fsck
	git -C clone log --oneline | cksum
	git -C clone -c pack.threads=4 repack -q -a -d -f --depth=20
	git -C clone count-objects -v | grep -E 'count|in-pack|packs'
	(cd clone && git verify-pack .git/objects/pack/*.idx && echo verified)
	git -C repo gc -q --aggressive; git -C repo fsck --full
	git -C repo bundle create -q ../b.bundle main
	git clone -q b.bundle from_bundle; git -C from_bundle rev-parse HEAD
	git -C repo format-patch -q -o ../patches -3 main
	git -C shallow reset -q --hard HEAD~3; (cd shallow && git am -q ../patches/*)
	git -C shallow log --oneline | wc -l
	git -C repo fast-export main | git -C up.git fast-import --quiet --force
	git -C up.git rev-parse main
	git clone -q --recurse-submodules up.git super; cd super
	git submodule --quiet add ../up.git sub; git commit -q -m 'a submodule'
	git submodule status | cut -c1-20; cd ..
	# Four threads choose deltas as they please.
	rm -rf clone/.git/objects/pack clone/.git/objects/info; forget_index
}

compare history git
compare transport git
finish
