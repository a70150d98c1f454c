// SPDX-License-Identifier: MIT
// The chain against a model that is a sorted vector: random registrations and walks, also from inside
// callbacks. The seed is printed; TASKWATCH_SEED=N repeats a run.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "chain.hpp"

using taskwatch::Chain;
using taskwatch::PinStack;
using taskwatch::Walk;
using taskwatch::WalkResult;

namespace {

// What the chain should do, in the fewest words.
struct Model {
    struct Entry {
        const notifier_block *nb;
        int priority;
        uint32_t mask;
        uint64_t serial;
    };
    std::vector<Entry> entries;
    uint64_t serial = 0;

    std::vector<Entry>::iterator find(const notifier_block *nb) {
        return std::find_if(entries.begin(), entries.end(), [&](const Entry &e) { return e.nb == nb; });
    }
    int add(const notifier_block *nb, uint32_t mask) {
        if (find(nb) != entries.end()) return EEXIST;
        if (entries.size() == WATCH_CHAIN_CAPACITY) return ENOSPC;
        auto place = std::find_if(entries.begin(), entries.end(),
                                  [&](const Entry &e) { return e.priority < nb->priority; });
        entries.insert(place, {nb, nb->priority, mask, ++serial});
        return 0;
    }
    int remove(const notifier_block *nb) {
        auto it = find(nb);
        if (it == entries.end()) return ENOENT;
        entries.erase(it);
        return 0;
    }
};

class Trial {
  public:
    explicit Trial(uint64_t seed) : random_(seed) {
        for (int i = 0; i < 72; ++i) {
            blocks_.push_back({{called, nullptr, 0}, this});
            names_.push_back(std::to_string(i));
        }
    }

    void step() {
        // The chain fills up and empties in turns.
        const unsigned adds = ++steps_ / 512 % 2 ? 2 : 8;
        unsigned what = pick(16);
        if (what < adds)
            add();
        else if (what < 10)
            remove();
        else if (what < 15)
            walk();
        else
            name();
    }
    size_t calls() const { return calls_; }
    size_t depth_reached() const { return depth_reached_; }
    size_t refused() const { return refused_; }

  private:
    struct Block {
        notifier_block nb;  // first: the callback finds the rest by it
        Trial *trial;
    };
    // A walk under way, as the model sees it.
    struct Frame {
        Walk walk;
        std::deque<Model::Entry> watchers, observers;  // still to be called
        int value = 0;
        const notifier_block *stopped_by = nullptr;
    };

    unsigned pick(unsigned below) { return unsigned(random_() % below); }
    Block &block() { return blocks_[pick(unsigned(blocks_.size()))]; }
    const std::string &name_of(const notifier_block *nb) const {
        return names_[size_t(reinterpret_cast<const Block *>(nb) - blocks_.data())];
    }

    void add() {
        Block &b = block();
        if (model_.find(&b.nb) == model_.entries.end())
            b.nb.priority = pick(8) == 0 ? INT_MIN : int(pick(4));
        uint32_t mask = (pick(WATCH_MASK_ALL) + 1) | (pick(2) ? WATCH_MASK_BEFORE : 0);
        const int error = model_.add(&b.nb, mask);
        ASSERT_EQ(chain_->add(&b.nb, mask, name_of(&b.nb).c_str()), error);
        refused_ += error == ENOSPC;
        expect_same_wanted();
    }
    void remove() {
        Block &b = block();
        ASSERT_EQ(chain_->remove(&b.nb, own_), model_.remove(&b.nb));
        expect_same_wanted();
    }
    void expect_same_wanted() {
        uint32_t wanted = 0;
        for (const Model::Entry &e : model_.entries) wanted |= e.mask;
        ASSERT_EQ(chain_->wanted(), wanted);
    }
    void name() {
        Block &b = block();
        const char *name = chain_->name_of(&b.nb, own_);
        ASSERT_EQ(name ? name : "", model_.find(&b.nb) != model_.entries.end() ? name_of(&b.nb) : "");
    }

    void walk() {
        Frame frame;
        frame.walk = {.action = 1ul << 16 | pick(100), .need = 1u << pick(7)};
        if (pick(4) == 0) frame.walk.need |= WATCH_MASK_BEFORE;
        if (pick(4) == 0) frame.walk.honour = WATCH_MASK_BEFORE;
        if (pick(3) == 0) frame.walk.ignore_stop = true, frame.walk.offender = told;
        if (pick(3) == 0) frame.walk.up_to = pick(unsigned(model_.serial) + 1);
        for (const Model::Entry &e : model_.entries)
            if ((e.mask & frame.walk.need) == frame.walk.need && e.serial <= frame.walk.up_to)
                (e.priority == INT_MIN ? frame.observers : frame.watchers).push_back(e);
        uint64_t serial = model_.serial;
        frames_.push_back(frame);
        depth_reached_ = std::max(depth_reached_, frames_.size());

        task_watch record{};
        current_ = this;
        WalkResult result = chain_->walk(frame.walk, record, own_);

        frame = frames_.back();
        frames_.pop_back();
        EXPECT_TRUE(frame.observers.empty());
        EXPECT_TRUE(frame.watchers.empty() || frame.stopped_by);
        EXPECT_EQ(result.value, frame.value);
        EXPECT_EQ(result.serial, serial);
        EXPECT_EQ(result.stopped(), frame.stopped_by != nullptr);
        if (result.stopped() && frame.stopped_by) {
            EXPECT_EQ(result.stopped_by, name_of(frame.stopped_by));
        }
        EXPECT_EQ(to_be_told_, nullptr);
        EXPECT_EQ(own_.depth, frames_.size());
    }

    static int called(notifier_block *nb, unsigned long action, void *data) {
        return reinterpret_cast<Block *>(nb)->trial->call(nb, action, *static_cast<task_watch *>(data));
    }
    int call(notifier_block *nb, unsigned long action, const task_watch &record) {
        ++calls_;
        EXPECT_EQ(to_be_told_, nullptr);
        bool observing = frames_.back().watchers.empty() || frames_.back().stopped_by;
        auto &expected = observing ? frames_.back().observers : frames_.back().watchers;
        if (expected.empty() || expected.front().nb != nb) {
            ADD_FAILURE() << "called " << name_of(nb) << ", expected "
                          << (expected.empty() ? "nobody" : name_of(expected.front().nb));
            return 0;
        }
        Model::Entry entry = expected.front();
        expected.pop_front();
        if (observing) {
            EXPECT_EQ(record.verdict, frames_.back().value);
            EXPECT_EQ((action & WATCH_STOPPED) != 0, frames_.back().stopped_by != nullptr);
        }
        EXPECT_EQ(action & ~WATCH_STOPPED, frames_.back().walk.action);

        if (frames_.size() < PinStack::capacity && pick(4) == 0)
            for (unsigned n = pick(4); n > 0; --n) step();

        static constexpr int values[] = {NOTIFY_DONE, NOTIFY_OK, 17, 16, NOTIFY_STOP, NOTIFY_BAD, -EIO};
        int value = values[pick(std::size(values))];
        Frame &frame = frames_.back();
        if (observing) return value;
        frame.value = value;
        if (!(value & NOTIFY_STOP_MASK)) return value;
        if (frame.walk.ignore_stop) {
            if (warned_.insert(entry.serial).second) to_be_told_ = nb;
        } else if ((entry.mask & frame.walk.honour) == frame.walk.honour) {
            frame.stopped_by = nb;
        }
        return value;
    }
    static void told(const notifier_block *nb, const char *name) {
        EXPECT_EQ(current_->to_be_told_, nb);
        EXPECT_EQ(name, current_->name_of(nb));
        current_->to_be_told_ = nullptr;
    }

    static inline Trial *current_;
    std::mt19937_64 random_;
    std::unique_ptr<Chain> chain_ = std::make_unique<Chain>();
    PinStack own_{};
    Model model_;
    std::vector<Block> blocks_;
    std::vector<std::string> names_;
    std::vector<Frame> frames_;
    std::set<uint64_t> warned_;  // serials
    const notifier_block *to_be_told_ = nullptr;
    size_t steps_ = 0, calls_ = 0, depth_reached_ = 0, refused_ = 0;
};

TEST(ChainModel, TheChainDoesWhatASortedVectorDoes) {
    const char *given = getenv("TASKWATCH_SEED");
    uint64_t seed = given ? strtoull(given, nullptr, 0) : std::random_device{}();
    std::cout << "TASKWATCH_SEED=" << seed << std::endl;
    RecordProperty("seed", std::to_string(seed));
    Trial trial(seed);
    for (int i = 0; i < 40000 && !testing::Test::HasFailure(); ++i) trial.step();
    EXPECT_GT(trial.calls(), 10000u);
    EXPECT_EQ(trial.depth_reached(), PinStack::capacity);
    EXPECT_GT(trial.refused(), 0u) << "the chain was full at times";
}

}  // namespace
