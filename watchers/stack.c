/* SPDX-License-Identifier: MIT */
/*
 * stack: who did it. At the events asked for, the call stack of the thread that acts.
 *
 *   events=LIST     init, clone, exec, uid, gid, exit: init. exec is told before the call, at its call site
 *   depth=N         at most so many frames, 1 to 256: 64
 *   symbols=later|now   names of functions: later, by taskwatch-symbolize; or now, from the symbols of the files that
 *                   the code is from
 *   output=PATH|-   JSON Lines; the session's standard error. Absolute path, - is standard output
 *   folded=PATH|-   a line for each stack as flame graphs want it, root first; without output= there are no JSON Lines then
 *
 * Never in a child on its parent's memory (vfork): it is told without frames.
 * An observer.
 *
 * A walk happens in whatever context a callback runs in. libunwind follows the frames; what it asks for is answered here,
 * as a debugger would answer for another process: registers from the callback's entry, objects from _dl_find_object(3),
 * which takes no lock (libunwind's own way, dl_iterate_phdr, takes the dynamic linker's), memory after the kernel was asked
 * whether it can be read. So a wrong unwind table ends a walk and not the program.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <libunwind.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "json.h"
#include "output.h"
#include "raw.h"

/* Exported, and in no header; perf(1) and gdb's kin use it too. */
extern int UNW_OBJ(dwarf_search_unwind_table)(unw_addr_space_t space, unw_word_t ip, unw_dyn_info_t *table,
                                              unw_proc_info_t *info, int need_unwind_info, void *argument);

#define PAGE 4096ul
#define PAGES_KNOWN 16
#define FRAMES_MAX 256
#define MODULES_MAX 32
#define BUILD_ID_MAX 32
#define SYMBOLS_MAX (64u << 20) /* bytes of a file's table: more would take too long */

/* A walk has memory of its own: the thread may have 16 KiB in all. */
#define OUTPUT_MAX (24 * 1024)
#define WALK_STACK (32 * 1024)
#define NAMES_MAX (16 * 1024)
#define AREAS 4
enum { FOLDED_OPENED }; /* keys of taskwatch_once() */

/* Pipes keep lines apart up to so many bytes, PIPE_BUF of pipe(7). */
#define STREAM_LINE_MAX 4096

/* The registers that a call keeps, and where it returns to. */
struct registers {
    uintptr_t rbx, rbp, rsp, r12, r13, r14, r15, rip;
};

/* An object that code on the stack belongs to. */
struct module {
    const struct link_map *map;
    const char *start; /* of its first segment, where the file's header is */
    uint8_t build_id[BUILD_ID_MAX];
    unsigned build_id_length; /* 0: it has none */
    bool is_elf;              /* its header is there, and in one page with its table of segments */
    uint64_t build_id_offset; /* in the file */
};

struct frame {
    uintptr_t pc; /* where a call returns to, or where a signal interrupted it */
    bool interrupted;
    int module;           /* index, -1: none (code that was made at run time) */
    const char *function; /* NULL: not asked for, or not known */
    uintptr_t in_function;
};

struct area {
    char stack[WALK_STACK];
    struct registers registers;
    const struct task_watch *task;
    unsigned long event;
    const char *unknown;             /* why there are no frames */
    uintptr_t readable[PAGES_KNOWN]; /* pages, by their number's low bits */
    unsigned frame_count, module_count;
    bool more;   /* there are more frames than were asked for */
    bool broken; /* it could not be followed to its end */
    struct frame frames[FRAMES_MAX];
    struct module modules[MODULES_MAX];
    char program[OUTPUT_PATH_MAX + 1];
    char piece[PAGE]; /* of a file */
    unsigned names_length;
    char names[NAMES_MAX];
    char text[OUTPUT_MAX];
};

static unsigned depth = 64;
static bool names_now, as_json = true, as_folded;
static char output_path[OUTPUT_PATH_MAX + 1], folded_path[OUTPUT_PATH_MAX + 1];
static struct taskwatch_sink json_sink, folded_sink;
static unw_addr_space_t space;
static struct link_map *own_map, *library_map;

static const struct {
    char name[6];
    unsigned long event;
    unsigned mask;
} events[] = {
    {"init", WATCH_TASK_INIT, WATCH_MASK_INIT},
    {"clone", WATCH_TASK_CLONE, WATCH_MASK_CLONE},
    {"exec", WATCH_TASK_EXEC, WATCH_MASK_EXEC | WATCH_MASK_BEFORE},
    {"uid", WATCH_TASK_UID, WATCH_MASK_UID},
    {"gid", WATCH_TASK_GID, WATCH_MASK_GID},
    {"exit", WATCH_TASK_EXIT, WATCH_MASK_EXIT},
};
#define EVENTS (sizeof events / sizeof events[0])

static const char *event_name(unsigned long event)
{
    size_t i = 0;

    while (i + 1 < EVENTS && events[i].event != event)
        i++;
    return events[i].name;
}

/* --- memory for a walk */

/* Mapped once and used again: those that are free. */
static struct area *_Atomic areas[AREAS];

static struct area *take_area(void)
{
    long address;

    for (unsigned i = 0; i < AREAS; i++) {
        struct area *area = atomic_exchange(&areas[i], NULL);

        if (area)
            return area;
    }
    address = raw_call(SYS_mmap, 0, sizeof(struct area), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);
    return address < 0 && address > -4096 ? NULL : (struct area *)address;
}

static void give_area_back(struct area *area)
{
    for (unsigned i = 0; i < AREAS; i++) {
        struct area *none = NULL;

        if (atomic_compare_exchange_strong(&areas[i], &none, area))
            return;
    }
    raw_call(SYS_munmap, (long)area, sizeof *area, 0, 0, 0, 0);
}

/* --- memory of the program */

/* The kernel copies the set before it looks at `how`: EFAULT, or EINVAL where it could be read. */
static bool is_readable(struct area *area, uintptr_t address)
{
    uintptr_t page = address & ~(PAGE - 1), *known = &area->readable[address / PAGE % PAGES_KNOWN];

    if (page == *known)
        return true;
    if (page == 0 || raw_call(SYS_rt_sigprocmask, -1, (long)page, 0, 8, 0, 0) != -22 /* EINVAL */)
        return false;
    *known = page;
    return true;
}

static bool read_word(struct area *area, uintptr_t address, uintptr_t *ret_word)
{
    if (!is_readable(area, address) || !is_readable(area, address + sizeof *ret_word - 1))
        return false;
    memcpy(ret_word, (const void *)address, sizeof *ret_word);
    return true;
}

/* --- what libunwind asks for */

static int access_memory(unw_addr_space_t as, unw_word_t address, unw_word_t *value, int write,
                         void *argument)
{
    (void)as;
    return write || !read_word(argument, address, value) ? -UNW_EINVAL : 0;
}

static int access_register(unw_addr_space_t as, unw_regnum_t number, unw_word_t *value, int write,
                           void *argument)
{
    const struct registers *r = &((struct area *)argument)->registers;

    (void)as;
    if (write)
        return -UNW_EREADONLYREG;
    switch (number) {
    case UNW_X86_64_RBX:
        *value = r->rbx;
        break;
    case UNW_X86_64_RBP:
        *value = r->rbp;
        break;
    case UNW_X86_64_RSP:
        *value = r->rsp;
        break;
    case UNW_X86_64_R12:
        *value = r->r12;
        break;
    case UNW_X86_64_R13:
        *value = r->r13;
        break;
    case UNW_X86_64_R14:
        *value = r->r14;
        break;
    case UNW_X86_64_R15:
        *value = r->r15;
        break;
    case UNW_X86_64_RIP:
        *value = r->rip;
        break;
    default: /* nobody's frame depends on those that a call does not keep */
        *value = 0;
        break;
    }
    return 0;
}

/* .eh_frame_hdr as every linker writes it: a sorted table of 32-bit offsets. */
struct unwind_header {
    uint8_t version, frame_encoding, count_encoding, table_encoding;
    int32_t frame;
    uint32_t count;
};

static int find_unwind_info(unw_addr_space_t as, unw_word_t ip, unw_proc_info_t *info, int need_unwind_info,
                            void *argument)
{
    struct area *area = argument;
    struct dl_find_object object;
    const struct unwind_header *header;
    unw_dyn_info_t table = {.format = UNW_INFO_FORMAT_REMOTE_TABLE};

    if (_dl_find_object((void *)ip, &object) != 0)
        return -UNW_ENOINFO;
    header = object.dlfo_eh_frame;
    if (!header || !is_readable(area, (uintptr_t)header) ||
        !is_readable(area, (uintptr_t)header + sizeof *header - 1) || header->version != 1 ||
        header->count_encoding != 0x03 /* udata4 */ || header->table_encoding != 0x3b /* datarel sdata4 */)
        return -UNW_ENOINFO;
    table.start_ip = (unw_word_t)object.dlfo_map_start;
    table.end_ip = (unw_word_t)object.dlfo_map_end;
    table.u.rti.segbase = (unw_word_t)header;
    table.u.rti.table_data = (unw_word_t)(header + 1);
    table.u.rti.table_len = header->count;
    return UNW_OBJ(dwarf_search_unwind_table)(as, ip, &table, info, need_unwind_info, argument);
}

static void put_unwind_info(unw_addr_space_t as, unw_proc_info_t *info, void *argument)
{
    (void)as, (void)info, (void)argument;
}

static int no_dynamic_code(unw_addr_space_t as, unw_word_t *list, void *argument)
{
    (void)as, (void)list, (void)argument;
    return -UNW_ENOINFO;
}

/* The rest is for those who change a process or name its functions. */
static int access_float(unw_addr_space_t as, unw_regnum_t number, unw_fpreg_t *value, int write,
                        void *argument)
{
    (void)as, (void)number, (void)value, (void)write, (void)argument;
    return -UNW_EINVAL;
}

static int resume(unw_addr_space_t as, unw_cursor_t *cursor, void *argument)
{
    (void)as, (void)cursor, (void)argument;
    return -UNW_EINVAL;
}

static int name_function(unw_addr_space_t as, unw_word_t address, char *text, size_t size, unw_word_t *offset,
                         void *argument)
{
    (void)as, (void)address, (void)text, (void)size, (void)offset, (void)argument;
    return -UNW_ENOINFO;
}

static struct link_map *map_of(const void *address)
{
    struct dl_find_object object;

    return _dl_find_object((void *)address, &object) == 0 ? object.dlfo_link_map : NULL;
}

/*
 * When libunwind is first used it opens a pipe, to try addresses of its own process with, which is not what it is used
 * for here. The numbers are the program's. Closing the pipe would be worse: in a program that uses libunwind itself it would read
 * from those numbers later, and close them, whatever they are by then. So it is first used while no descriptor is to be had,
 * and remembers that it has none. False: that is not to be had.
 */
static bool start_without_pipe(struct area *area)
{
    struct rlimit given, none;
    unw_cursor_t cursor;

    if (raw_call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, (long)&given, 0, 0) != 0)
        return false;
    none = (struct rlimit){0, given.rlim_max};
    if (raw_call(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&none, 0, 0, 0) != 0)
        return false;
    unw_init_remote(&cursor, space, area);
    raw_call(SYS_prlimit64, 0, RLIMIT_NOFILE, (long)&given, 0, 0, 0);
    return true;
}

/* Once, at load: allocates. NULL, or why it cannot be. */
static const char *start_libunwind(void)
{
    unw_accessors_t answers = {
        .find_proc_info = find_unwind_info,
        .put_unwind_info = put_unwind_info,
        .get_dyn_info_list_addr = no_dynamic_code,
        .access_mem = access_memory,
        .access_reg = access_register,
        .access_fpreg = access_float,
        .resume = resume,
        .get_proc_name = name_function,
    };
    struct area *area = take_area();

    own_map = map_of((const void *)(uintptr_t)start_libunwind);
    library_map = map_of((const void *)(uintptr_t)taskwatch_write);
    space = unw_create_addr_space(&answers, 0); /* without a cache, which would be a lock for all threads */
    if (!area || !space)
        return "no memory for libunwind; it needs some 150 KiB";
    if (!start_without_pipe(area))
        return "the limit of descriptors cannot be changed, so libunwind would take two of the program's";
    give_area_back(area);
    return NULL;
}

/* --- objects */

/* `offset`: of the notes in the file. */
static void read_notes(const char *notes, size_t size, uint64_t offset, struct module *module)
{
    const char *note = notes, *end = notes + size;

    while (note + sizeof(ElfW(Nhdr)) <= end) {
        const ElfW(Nhdr) *head = (const ElfW(Nhdr) *)note;
        const char *name = note + sizeof *head, *data = name + ((head->n_namesz + 3u) & ~3u);

        if (data + head->n_descsz > end)
            return;
        if (head->n_type == NT_GNU_BUILD_ID && head->n_namesz == 4 && memcmp(name, "GNU", 4) == 0 &&
            head->n_descsz <= BUILD_ID_MAX) {
            memcpy(module->build_id, data, head->n_descsz);
            module->build_id_length = head->n_descsz;
            module->build_id_offset = offset + (uint64_t)(data - notes);
            return;
        }
        note = data + ((head->n_descsz + 3u) & ~3u);
    }
}

/* The file's header is the first thing in its first segment. */
static void read_header(struct area *area, struct module *module)
{
    const ElfW(Ehdr) *head = (const ElfW(Ehdr) *)module->start;
    const ElfW(Phdr) * segment;

    if (!is_readable(area, (uintptr_t)head) || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
        head->e_phoff + head->e_phnum * sizeof *segment > PAGE)
        return;
    module->is_elf = true;
    segment = (const ElfW(Phdr) *)(module->start + head->e_phoff);
    for (unsigned i = 0; i < head->e_phnum && module->build_id_length == 0; i++, segment++) {
        const char *notes = (const char *)(module->map->l_addr + segment->p_vaddr);

        if (segment->p_type == PT_NOTE && segment->p_memsz < PAGE && is_readable(area, (uintptr_t)notes) &&
            is_readable(area, (uintptr_t)notes + segment->p_memsz - 1))
            read_notes(notes, segment->p_memsz, segment->p_offset, module);
    }
}

/* --- names: exported functions, as the dynamic linker knows them */

struct symbols {
    const ElfW(Sym) * table;
    const char *strings;
    const uint32_t *hash; /* of DT_GNU_HASH: the one place that tells how many there are */
};

static struct symbols symbols_of(const struct link_map *map)
{
    struct symbols s = {NULL, NULL, NULL};

    for (const ElfW(Dyn) *d = map->l_ld; d && d->d_tag != DT_NULL; d++) {
        /* Relocated by the dynamic linker, but for the vDSO's. */
        uintptr_t address = d->d_un.d_ptr < map->l_addr ? map->l_addr + d->d_un.d_ptr : d->d_un.d_ptr;

        if (d->d_tag == DT_SYMTAB)
            s.table = (const ElfW(Sym) *)address;
        else if (d->d_tag == DT_STRTAB)
            s.strings = (const char *)address;
        else if (d->d_tag == DT_GNU_HASH)
            s.hash = (const uint32_t *)address;
    }
    return s;
}

static void name_exported(struct frame *frame, const struct link_map *map, uintptr_t call)
{
    struct symbols s = symbols_of(map);
    const uint32_t *buckets, *chains;

    if (!s.table || !s.strings || !s.hash)
        return;
    buckets = s.hash + 4 + s.hash[2] * (sizeof(ElfW(Addr)) / 4);
    chains = buckets + s.hash[0];
    for (uint32_t b = 0; b < s.hash[0]; b++) {
        uint32_t i = buckets[b];

        if (i < s.hash[1])
            continue;
        for (;; i++) {
            const ElfW(Sym) *symbol = &s.table[i];

            if ((symbol->st_info & 15) == STT_FUNC && symbol->st_shndx != SHN_UNDEF &&
                call - map->l_addr - symbol->st_value < symbol->st_size) {
                frame->function = s.strings + symbol->st_name;
                frame->in_function = frame->pc - map->l_addr - symbol->st_value;
                return;
            }
            if (chains[i - s.hash[1]] & 1)
                break;
        }
    }
}

/*
 * What is not exported: the symbols in the file, if it has any. Read piece by piece, not mapped: a file that is cut
 * while it is read ends the search and not the program.
 */
static bool read_file(int file, void *to, size_t size, uint64_t offset)
{
    return raw_call(SYS_pread64, file, (long)to, (long)size, (long)offset, 0, 0) == (long)size;
}

/* The header and the table of segments are those in memory, and the build id if there is one. */
static bool is_that_file(struct area *area, const struct module *module, int file)
{
    const ElfW(Ehdr) *head = (const ElfW(Ehdr) *)module->start;
    size_t size = head->e_phoff + head->e_phnum * sizeof(ElfW(Phdr));

    if (size > sizeof area->piece || !read_file(file, area->piece, size, 0) ||
        memcmp(area->piece, module->start, size) != 0)
        return false;
    return module->build_id_length == 0 ||
           (read_file(file, area->piece, module->build_id_length, module->build_id_offset) &&
            memcmp(area->piece, module->build_id, module->build_id_length) == 0);
}

/* Names are kept in the area. One that is too long for it is none. */
static const char *keep_name(struct area *area, int file, uint64_t offset, uint64_t end)
{
    char *name = area->names + area->names_length;
    size_t size = sizeof area->names - area->names_length;
    const char *zero;
    long got;

    if (offset >= end)
        return NULL;
    if (size > end - offset)
        size = end - offset;
    got = raw_call(SYS_pread64, file, (long)name, (long)(size < 1024 ? size : 1024), (long)offset, 0, 0);
    zero = got > 0 ? memchr(name, '\0', (size_t)got) : NULL;
    if (!zero || zero == name)
        return NULL;
    area->names_length += (unsigned)(zero + 1 - name);
    return name;
}

static void name_by_symbol(struct area *area, int number, int file, const ElfW(Sym) * symbol,
                           const ElfW(Shdr) * strings)
{
    const char *name = NULL;

    for (unsigned i = 0; i < area->frame_count; i++) {
        struct frame *frame = &area->frames[i];
        uintptr_t offset = frame->pc - area->modules[number].map->l_addr;

        if (frame->module != number || frame->function ||
            offset - !frame->interrupted - symbol->st_value >= symbol->st_size)
            continue;
        if (!name)
            name = keep_name(area, file, strings->sh_offset + symbol->st_name,
                             strings->sh_offset + strings->sh_size);
        frame->function = name;
        frame->in_function = offset - symbol->st_value;
    }
}

static void name_by_file(struct area *area, int number, int file)
{
    const ElfW(Ehdr) *head = (const ElfW(Ehdr) *)area->modules[number].start;
    ElfW(Shdr) symbols, strings;
    unsigned section = 0;

    do {
        if (section == head->e_shnum ||
            !read_file(file, &symbols, sizeof symbols, head->e_shoff + section * sizeof symbols))
            return;
        section++;
    } while (symbols.sh_type != SHT_SYMTAB);
    if (symbols.sh_size > SYMBOLS_MAX || symbols.sh_entsize != sizeof(ElfW(Sym)) ||
        symbols.sh_link >= head->e_shnum ||
        !read_file(file, &strings, sizeof strings, head->e_shoff + symbols.sh_link * sizeof strings))
        return;
    for (uint64_t done = 0; done < symbols.sh_size;) {
        const ElfW(Sym) *symbol = (const ElfW(Sym) *)area->piece;
        uint64_t left = symbols.sh_size - done, room = sizeof area->piece / sizeof *symbol * sizeof *symbol;
        size_t size = left < room ? left : room;

        if (!read_file(file, area->piece, size, symbols.sh_offset + done))
            return;
        for (size_t i = 0; i < size / sizeof *symbol; i++)
            if ((symbol[i].st_info & 15) == STT_FUNC && symbol[i].st_shndx != SHN_UNDEF)
                name_by_symbol(area, number, file, &symbol[i], &strings);
        done += size;
    }
}

/* A path may be relative to where the program was when it loaded that file; what is found there may be another one. */
static void name_module(struct area *area, int number)
{
    const struct module *module = &area->modules[number];
    const char *path = module->map->l_name[0] ? module->map->l_name : "/proc/self/exe";
    int file = (int)raw_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                             0, 0, 0);

    if (file < 0)
        return;
    if (is_that_file(area, module, file))
        name_by_file(area, number, file);
    raw_call(SYS_close, file, 0, 0, 0, 0, 0);
}

static void find_names(struct area *area)
{
    bool wanted[MODULES_MAX] = {false};

    area->names_length = 0;
    for (unsigned i = 0; i < area->frame_count; i++) {
        struct frame *frame = &area->frames[i];

        if (frame->module < 0)
            continue;
        name_exported(frame, area->modules[frame->module].map, frame->pc - !frame->interrupted);
        if (!frame->function && area->modules[frame->module].is_elf)
            wanted[frame->module] = true;
    }
    for (unsigned i = 0; i < area->module_count; i++)
        if (wanted[i])
            name_module(area, (int)i);
}

/* --- forks in the middle of a walk */

/*
 * libunwind takes pieces of memory from pools with a lock each. Signals are blocked meanwhile, but a child that is forked while
 * another thread has one would wait for it for ever.
 */
static _Atomic uint64_t walkers; /* pid 32 | broken 1 | walks under way 31 */
#define BROKEN 0x80000000u

/* False: this process was forked while another thread walked. */
static bool enter_libunwind(int pid)
{
    uint64_t now = atomic_load(&walkers), next;

    do {
        uint32_t count = (uint32_t)now & ~BROKEN, broken = (uint32_t)now & BROKEN;

        if ((int)(now >> 32) != pid) { /* forked since: what was under way is stuck here */
            broken |= count ? BROKEN : 0;
            count = 0;
        }
        next = (uint64_t)(uint32_t)pid << 32 | broken | (broken ? count : count + 1);
    } while (!atomic_compare_exchange_weak(&walkers, &now, next));
    return !(next & BROKEN);
}

static void leave_libunwind(void)
{
    atomic_fetch_sub(&walkers, 1);
}

/* --- the walk */

/* Index of the object that holds `pc`, -1: none, or there are too many. */
static int module_of(struct area *area, const struct dl_find_object *object)
{
    struct module *module;

    for (unsigned i = 0; i < area->module_count; i++)
        if (area->modules[i].map == object->dlfo_link_map)
            return (int)i;
    if (area->module_count == MODULES_MAX)
        return -1;
    module = &area->modules[area->module_count];
    *module = (struct module){.map = object->dlfo_link_map, .start = object->dlfo_map_start};
    read_header(area, module);
    return (int)area->module_count++;
}

/* Not of the library and of ourselves. What was made at run time is known by no object. */
static void add_frame(struct area *area, uintptr_t pc, bool interrupted)
{
    uintptr_t call = interrupted ? pc : pc - 1; /* a call may be a function's last instruction */
    struct dl_find_object object;
    bool known = _dl_find_object((void *)call, &object) == 0;

    if (known && (object.dlfo_link_map == own_map || object.dlfo_link_map == library_map))
        return;
    area->frames[area->frame_count++] =
        (struct frame){.pc = pc, .interrupted = interrupted, .module = known ? module_of(area, &object) : -1};
}

/* From area->registers on, the caller of the wrapped function first. */
static void follow(struct area *area)
{
    unw_cursor_t cursor;
    unw_word_t pc = 0;
    int more = unw_init_remote(&cursor, space, area) == 0 ? 1 : -1;

    /* The bound is for stacks that lead in a circle. */
    for (unsigned steps = 0; more > 0 && steps < 4 * FRAMES_MAX; steps++) {
        bool interrupted = steps > 0 && unw_is_signal_frame(&cursor) > 0;

        more = unw_step(&cursor);
        if (more <= 0 || unw_get_reg(&cursor, UNW_REG_IP, &pc) != 0 || pc == 0)
            break;
        if (area->frame_count == depth) {
            area->more = true;
            return;
        }
        add_frame(area, pc, interrupted);
    }
    area->broken = more < 0;
}

/* Takes about 8 KiB of stack and no lock of the dynamic linker's. Signals have to be blocked. */
static void walk(struct area *area)
{
    area->frame_count = area->module_count = 0;
    area->more = area->broken = false;
    memset(area->readable, 0, sizeof area->readable);
    if (!enter_libunwind((int)raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0))) {
        area->unknown = "forked while another thread's stack was walked";
        return;
    }
    follow(area);
    leave_libunwind();
    if (names_now)
        find_names(area);
}

/* --- formats */

static const char *path_of(const struct area *area, int module)
{
    const char *path = area->modules[module].map->l_name;

    return path[0] ? path : area->program;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static void hex(struct line *line, uintptr_t number)
{
    int digits = 1;

    while (digits < 16 && number >> (4 * digits))
        digits++;
    line_text(line, "0x");
    line_hex(line, number, digits);
}

static void json_address(struct line *line, const char *key, uintptr_t number)
{
    line_text(line, key);
    line_char(line, '"');
    hex(line, number);
    line_char(line, '"');
}

static void json_frame(struct line *line, const struct area *area, const struct frame *frame)
{
    json_address(line, "{\"pc\":", frame->pc);
    if (frame->module < 0) {
        line_text(line, ",\"module\":null");
    } else {
        json_integer(line, ",\"module\":", frame->module);
        json_address(line, ",\"offset\":", frame->pc - area->modules[frame->module].map->l_addr);
    }
    if (frame->interrupted)
        line_text(line, ",\"interrupted\":true");
    if (frame->function) {
        json_text(line, ",\"function\":", frame->function);
        json_address(line, ",\"in_function\":", frame->in_function);
    }
    line_char(line, '}');
}

static void json_module(struct line *line, const struct area *area, unsigned number, bool *encoded)
{
    const struct module *module = &area->modules[number];
    const char *path = path_of(area, (int)number);
    bool encode = !utf8_is(path);

    *encoded |= encode;
    line_text(line, "{\"path\":");
    json_string(line, path, encode, SIZE_MAX);
    line_text(line, ",\"build_id\":");
    if (module->build_id_length) {
        line_char(line, '"');
        for (unsigned i = 0; i < module->build_id_length; i++)
            line_hex(line, module->build_id[i], 2);
        line_text(line, "\"}");
    } else {
        line_text(line, "null}");
    }
}

static void format_json(struct line *line, const struct area *area, unsigned frames)
{
    bool encoded = false;

    line->length = 0;
    json_head(line, "stack", area->task);
    json_text(line, ",\"of\":", event_name(area->event));
    json_text(line, ",\"call\":", area->task->call);
    if (area->unknown) {
        json_text(line, ",\"frames\":null,\"why\":", area->unknown);
    } else {
        line_text(line, ",\"frames\":[");
        for (unsigned i = 0; i < frames; i++) {
            if (i)
                line_char(line, ',');
            json_frame(line, area, &area->frames[i]);
        }
        line_text(line, "],\"modules\":[");
        for (unsigned i = 0; i < area->module_count; i++) {
            if (i)
                line_char(line, ',');
            json_module(line, area, i, &encoded);
        }
        line_char(line, ']');
        if (area->more || frames < area->frame_count)
            line_text(line, ",\"truncated\":[\"frames\"]");
        if (area->broken)
            line_text(line, ",\"broken\":true");
    }
    line_text(line, encoded ? ",\"encoded\":[\"path\"]}\n" : "}\n");
}

static void write_json(struct area *area)
{
    struct line line = {area->text, sizeof area->text, 0};
    unsigned frames = area->frame_count;

    format_json(&line, area, frames);
    if (line.length > STREAM_LINE_MAX && taskwatch_sink_is_stream(&json_sink))
        line.capacity = STREAM_LINE_MAX;
    while (line.length > line.capacity && frames > 0) { /* the innermost ones stay */
        frames -= (frames + 7) / 8;
        format_json(&line, area, frames);
    }
    if (line.length <= line.capacity)
        taskwatch_write(&json_sink, line.text, line.length);
}

/* A frame's name, without the two characters that mean something in a folded stack. */
static void folded_name(struct line *line, const char *text)
{
    for (; *text; text++)
        line_char(line, *text == ';' || (unsigned char)*text <= ' ' ? '_' : *text);
}

static void write_folded(struct area *area)
{
    struct line line = {area->text, sizeof area->text, 0};

    if (area->unknown)
        return;
    folded_name(&line, base_name(area->program));
    for (unsigned i = area->frame_count; i-- > 0;) {
        const struct frame *frame = &area->frames[i];

        line_char(&line, ';');
        if (frame->function) {
            folded_name(&line, frame->function);
        } else if (frame->module < 0) {
            line_text(&line, "[unknown]");
        } else {
            folded_name(&line, base_name(path_of(area, frame->module)));
            line_char(&line, '+');
            hex(&line, frame->pc - area->modules[frame->module].map->l_addr);
        }
    }
    line_char(&line, ';');
    folded_name(&line, area->task->call);
    line_text(&line, " 1\n");
    if (line.length <= line.capacity)
        taskwatch_write(&folded_sink, line.text, line.length);
}

/* --- one event */

/* On the area's stack, with all signals blocked. */
static void tell(void *argument)
{
    struct area *area = argument;
    long length = raw_call(SYS_readlink, (long)"/proc/self/exe", (long)area->program,
                           sizeof area->program - 1, 0, 0, 0);

    area->program[length > 0 ? length : 0] = '\0';
    if (!area->unknown)
        walk(area);
    if (as_json)
        write_json(area);
    if (as_folded)
        write_folded(area);
}

/* Calls function(argument) on another stack. */
static __attribute__((noinline)) void call_on(char *top, void (*function)(void *), void *argument)
{
    __asm__ volatile(
        "movq %%rsp, %%rbx\n\t"
        "movq %[top], %%rsp\n\t"
        "callq *%[function]\n\t"
        "movq %%rbx, %%rsp"
        : [function] "+r"(function), "+D"(argument)
        : [top] "r"(top)
        : "rbx", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "cc", "memory", "xmm0", "xmm1", "xmm2",
          "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
          "xmm15");
}

/* What a call keeps, as it is right here; the walk begins in the frame of whoever this is inlined into. */
static inline __attribute__((always_inline)) void read_registers(struct registers *r)
{
    __asm__ volatile(
        "movq %%rbx, 0(%0)\n\t"
        "movq %%rbp, 8(%0)\n\t"
        "movq %%rsp, 16(%0)\n\t"
        "movq %%r12, 24(%0)\n\t"
        "movq %%r13, 32(%0)\n\t"
        "movq %%r14, 40(%0)\n\t"
        "movq %%r15, 48(%0)\n\t"
        "leaq 1f(%%rip), %%rax\n\t"
        "movq %%rax, 56(%0)\n"
        "1:"
        :
        : "r"(r)
        : "rax", "memory");
}

static bool is_wanted(const struct task_watch *task, unsigned long action)
{
    if (get_watch_event(action) == WATCH_TASK_EXEC)
        return (action & WATCH_BEFORE) && !(task->context & TASKWATCH_FORECAST);
    /* A task that tells another's end, or repeats a call as refused, did not do it. */
    return !(action & (WATCH_BEFORE | WATCH_FAILED | WATCH_ON_BEHALF));
}

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;
    uint64_t all = ~0ull, before = 0;
    struct area *area;

    (void)nb;
    if (!is_wanted(task, action) || (task->context & TASKWATCH_QUIET))
        return NOTIFY_DONE;
    raw_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, 8, 0, 0);
    area = take_area();
    if (area) {
        area->task = task;
        area->event = get_watch_event(action);
        area->unknown = NULL;
        if (task->context & (TASKWATCH_IN_VFORK_CHILD | TASKWATCH_FOREIGN_TLS))
            area->unknown = "in a child on its parent's memory";
        read_registers(&area->registers);
        call_on(area->stack + sizeof area->stack, tell, area);
        give_area_back(area);
    }
    raw_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, 8, 0, 0);
    return NOTIFY_DONE;
}

/* --- options */

static const char *read_events(char *list, unsigned *ret_mask)
{
    unsigned mask = 0;

    for (char *item; (item = option_next_item(&list)) != NULL;) {
        size_t i = 0;

        while (i < EVENTS && strcmp(events[i].name, item) != 0)
            i++;
        if (i == EVENTS)
            return option_refuse("events", item, "not an event", "init, clone, exec, uid, gid, exit");
        mask |= events[i].mask;
    }
    *ret_mask = mask;
    return NULL;
}

static const char *init(struct notifier_block *nb, char *options);

/* Not constant: which events are wanted is an option, and those that are not cost nothing. */
__attribute__((visibility("default"))) struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "stack",
    .description = "tells the call stack of whoever forks, executes or changes ids",
    .events = WATCH_MASK_INIT,
    .priority = WATCH_PRIORITY_OBSERVER,
    .init = init,
    .notify = notify,
};

static const char *init(struct notifier_block *nb, char *options)
{
    const char *refusal = NULL;
    bool output_given = false;
    uint64_t number;
    char *key, *value;

    while (refusal == NULL && (key = taskwatch_next_option(&options, &value)) != NULL) {
        if (strcmp(key, "events") == 0) {
            refusal = read_events(value, &taskwatch_watcher.events);
        } else if (strcmp(key, "depth") == 0) {
            if (!option_number(value, 1, FRAMES_MAX, &number))
                return option_refuse(key, value, "not a number of frames", "1 to 256");
            depth = (unsigned)number;
        } else if (strcmp(key, "symbols") == 0) {
            names_now = strcmp(value, "now") == 0;
            if (!names_now && strcmp(value, "later") != 0)
                return option_refuse(key, value, "no time to look for names", "now, later");
        } else if (strcmp(key, "output") == 0) {
            refusal = output_read(key, value, &output_path);
            output_given = true;
        } else if (strcmp(key, "folded") == 0) {
            refusal = output_read(key, value, &folded_path);
            as_folded = true;
        } else {
            return option_refuse("option", key, "unknown", "events, depth, symbols, output, folded");
        }
    }
    as_json = output_given || !as_folded;
    if (refusal == NULL && as_json)
        refusal = output_open(&json_sink, nb, "output", output_given ? output_path : NULL);
    if (refusal == NULL && as_folded)
        refusal = output_open_as(&folded_sink, nb, FOLDED_OPENED, "folded", folded_path);
    return refusal ? refusal : start_libunwind();
}
