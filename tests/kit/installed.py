# SPDX-License-Identifier: MIT
# A tree as `meson install` makes it, in a scratch folder, once for all tests.
import glob
import os
import re
import subprocess
import tempfile

PLACE = tempfile.TemporaryDirectory(prefix="taskwatch-kit.")


class Installed:
    def __init__(self, build):
        if not os.listdir(PLACE.name):
            subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", PLACE.name],
                           stdout=subprocess.DEVNULL, check=True)
        (self.launcher,) = [path for path in glob.glob(PLACE.name + "/**/bin/taskwatch", recursive=True)]
        self.prefix = os.path.dirname(os.path.dirname(self.launcher))
        (packages,) = glob.glob(self.prefix + "/**/pkgconfig", recursive=True)
        # A build that was set up before pkgconfig.relocatable was true names the prefix it would have.
        with open(packages + "/taskwatch.pc", "r+", encoding="utf-8") as stream:
            text = re.sub(r"^prefix=/.*", f"prefix={self.prefix}", stream.read(), flags=re.M)
            stream.seek(0)
            stream.write(text)
            stream.truncate()
        self.environment = {"PKG_CONFIG_PATH": packages}
