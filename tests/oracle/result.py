# SPDX-License-Identifier: MIT
"""What a comparison has found: figures, and the rest in words. What they mean is in compare.py."""
import collections


class Result:
    def __init__(self):
        self.kernel = self.ours = self.matched = 0
        self.kinds = collections.Counter()  # of matched events
        self.accounted = collections.Counter()
        self.unexplained = []
        self.kernel_accounted = self.ours_accounted = 0

    def match(self, kind, count=1):
        self.kernel += count
        self.ours += count
        self.matched += count
        self.kinds[kind] += count

    def only_kernel(self, why):
        self.kernel += 1
        self.unexplained.append(f"kernel only: {why}")

    def only_ours(self, why):
        self.ours += 1
        self.unexplained.append(f"ours only: {why}")

    def differ(self, why):
        self.kernel += 1
        self.ours += 1
        self.unexplained.append(f"differs: {why}")

    def account_kernel(self, name, count=1):
        self.accounted[name] += count
        self.kernel += count
        self.kernel_accounted += count

    def account_ours(self, name, count=1):
        self.accounted[name] += count
        self.ours += count
        self.ours_accounted += count

    @property
    def recall(self):
        return self.matched / max(1, self.kernel - self.kernel_accounted)

    @property
    def precision(self):
        return self.matched / max(1, self.ours - self.ours_accounted)

    @property
    def perfect(self):
        return not self.unexplained
