// SPDX-License-Identifier: MIT
// What the tests of the loader share: a process of its own for each case, because a loaded watcher stays,
// and its transcript, line by line: what plug-ins tell of themselves, what is refused, how many.
#pragma once

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "loader.hpp"

namespace {

namespace fs = std::filesystem;

// Where the process that loads tells what happens.
int transcript = -1;

void tell(const std::string &line) {
    std::string text = line + "\n";
    if (write(transcript, text.data(), text.size()) != ssize_t(text.size())) _exit(99);
}

taskwatch::Chain chain;
taskwatch::PinStack pins;

}  // namespace

// What plug-ins call. One file of a test program includes this header.
extern "C" void plugin_says(const char *line) { tell(line); }

extern "C" int register_task_watcher(notifier_block *nb) {
    tell(std::string("registers as ") + taskwatch::loading_name());
    return -chain.add(nb, WATCH_MASK_ALL, taskwatch::loading_name());
}

extern "C" int unregister_task_watcher(notifier_block *nb) {
    tell("unregisters");
    return -chain.remove(nb, pins);
}

namespace {

// A watcher that is compiled in.
const taskwatch_watcher inside = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(taskwatch_watcher),
    .name = "inside",
    .description = "of the tests",
    .events = WATCH_MASK_ALL,
    .priority = 0,
    .init = [](notifier_block *, char *options) -> const char * {
        tell("inside init '" + std::string(options) + "'");
        return strcmp(options, "no") == 0 ? "it said no" : nullptr;
    },
    .notify = [](notifier_block *, unsigned long action, void *) {
        tell("inside event " + std::to_string(get_watch_event(action)));
        return NOTIFY_DONE;
    },
    .fini = [](int reason) { tell("inside fini " + std::to_string(reason)); },
};

const taskwatch_watcher *find_inside(std::string_view name) { return name == "inside" ? &inside : nullptr; }

// Everything of a list of watchers that a test may want to say.
struct Setting {
    std::string watchers;
    std::vector<std::string> environment = {};
    std::string path = "default";  // TASKWATCH_PATH; "": not set
    std::string own_folder = "";   // "": none
    bool built_in = false;         // there is one, "inside"
    std::function<void()> before = [] {};
    bool end = false;  // walk INIT and finish afterwards
};

class Loader : public testing::Test {
  protected:
    Loader() {
        char name[] = "/tmp/loader_test.XXXXXX";
        folder_ = mkdtemp(name);
        chmod(name, 0755);
        const char *plugins = getenv("TASKWATCH_TEST_PLUGINS");
        plugins_ = plugins ? plugins : "";
    }
    ~Loader() override { fs::remove_all(folder_); }
    void SetUp() override {
        ASSERT_FALSE(plugins_.empty()) << "TASKWATCH_TEST_PLUGINS names the plug-ins' folder";
    }

    std::string plugin(const std::string &name) const { return plugins_ + "/" + name + ".so"; }

    // A file in this test's own folder.
    std::string file(const std::string &name, const std::string &bytes, mode_t mode = 0644) {
        std::string path = folder_ + "/" + name;
        std::ofstream(path, std::ios::binary) << bytes;
        chmod(path.c_str(), mode);
        return path;
    }

    std::string bytes_of(const std::string &name) const {
        std::ifstream stream(plugin(name), std::ios::binary);
        return {std::istreambuf_iterator<char>(stream), {}};
    }

    // A copy of the good plug-in with one field of its ELF header changed.
    template <typename Field>
    std::string good_with(size_t offset, Field value) {
        std::string bytes = bytes_of("good");
        memcpy(bytes.data() + offset, &value, sizeof value);
        return bytes;
    }

    // Loads and returns the transcript, the number of refusals last.
    std::string load(const Setting &setting) {
        int ends[2];
        if (pipe(ends) != 0) return "no pipe";
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            transcript = ends[1];
            alarm(30);  // a loader that hangs is a failed case
            load_here(setting);
            _exit(0);
        }
        close(ends[1]);
        std::string text;
        char buffer[4096];
        for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, size_t(got));
        close(ends[0]);
        int status = -1;
        waitpid(child, &status, 0);
        if (status != 0) text += "ended with " + std::to_string(status) + "\n";
        return text;
    }

    // The one line of refusal that a single item gets.
    std::string refusal(const std::string &watchers, const std::string &path = "default") {
        return load({.watchers = watchers, .path = path});
    }

    std::string folder_, plugins_;

  private:
    void load_here(const Setting &setting) {
        std::vector<char *> envp;
        for (const std::string &entry : setting.environment)
            envp.push_back(const_cast<char *>(entry.c_str()));
        envp.push_back(nullptr);
        std::string path = setting.path == "default" ? plugins_ : setting.path;

        taskwatch::Config config;
        config.watchers = setting.watchers.c_str();
        config.path = path.empty() ? nullptr : path.c_str();
        taskwatch::LoaderHost host = {
            .chain = &chain,
            .envp = envp.data(),
            .own_folder = setting.own_folder.empty() ? nullptr : setting.own_folder.c_str(),
            .built_in = setting.built_in ? find_inside : nullptr,
            .refuse = [](const char *message) { tell(std::string("refused: ") + message); }};

        const std::vector<std::string> before = setting.environment;
        setting.before();
        errno = ENOTTY;
        int refused = taskwatch::load_watchers(config, host);
        if (errno != ENOTTY) tell("errno is spoilt");
        if (strcmp(taskwatch::loading_name(), "program") != 0) tell("still loading");
        for (size_t n = 0; n < setting.environment.size(); n++)
            if (setting.environment[n] != before[n]) tell("the environment is changed");
        if (refused) tell(std::to_string(refused) + " refused");
        if (!setting.end) return;
        task_watch task = {};
        chain.walk({.action = WATCH_TASK_INIT, .need = WATCH_MASK_INIT}, task, pins);
        taskwatch::finish_watchers(TASKWATCH_FINI_SESSION);
        taskwatch::finish_watchers(TASKWATCH_FINI_PROCESS);
    }
};

std::string line(const std::string &message) { return "refused: " + message + "\n1 refused\n"; }

}  // namespace
