/* SPDX-License-Identifier: MIT */
/*
 * After chroot, where /proc, /dev and /tmp are others or not there, an exec's new image is the same task in the same
 * session.
 *
 * needs: root
 */
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "again.h"

static void make_folders(const char *root, const char *path)
{
    char folder[8192];

    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(folder, sizeof folder, "%s%.*s", root, (int)(slash - path), path);
        CHECK(mkdir(folder, 0755) == 0 || errno == EEXIST);
    }
}

/* The same file where it can be (the recorder's must be), otherwise the same bytes. */
static void bring(const char *root, const char *path)
{
    char there[8192];
    struct stat st;
    int from, to;

    make_folders(root, path);
    snprintf(there, sizeof there, "%s%s", root, path);
    if (linkat(AT_FDCWD, path, AT_FDCWD, there, AT_SYMLINK_FOLLOW) == 0 || errno == EEXIST)
        return;
    from = open(path, O_RDONLY);
    to = open(there, O_WRONLY | O_CREAT, 0755);
    CHECK(from >= 0 && to >= 0 && fstat(from, &st) == 0);
    CHECK_EQUAL(sendfile(to, from, NULL, (size_t)st.st_size), st.st_size);
    close(from);
    close(to);
}

static void enter(void *root)
{
    CHECK_EQUAL(chroot(root), 0);
    CHECK_EQUAL(chdir("/"), 0);
}

int main(void)
{
    static char root[4096], target[4096];
    char line[8192];
    FILE *maps = fopen("/proc/self/maps", "r");

    snprintf(root, sizeof root, "%s", test_file("root"));
    snprintf(target, sizeof target, "%s/target", getenv("TEST_BUILD"));
    CHECK_EQUAL(mkdir(root, 0755), 0);
    CHECK(maps != NULL);
    /* What this image has mapped, the library and its watcher among it, is what the target needs. */
    while (fgets(line, sizeof line, maps)) {
        char *path = strchr(line, '/');

        /* The session's own memory has a name there, too. */
        if (!path || strstr(path, "(deleted)"))
            continue;
        path[strcspn(path, "\n")] = '\0';
        bring(root, path);
    }
    fclose(maps);
    bring(root, target);
    bring(root, test_file("recorder"));
    bring(root, "/lib64/ld-linux-x86-64.so.2");
    run_after(enter, root, "init clone exec exit free");
    return 0;
}
