/* SPDX-License-Identifier: MIT */
/*
 * Walking a stack in whatever context a callback runs in. libunwind follows the frames; what it asks for is answered
 * here, as a debugger would answer for another process: registers from the callback's entry, objects from
 * _dl_find_object(3), which takes no lock (libunwind's own way, dl_iterate_phdr, takes the dynamic linker's), memory after
 * the kernel was asked whether it can be read. So a wrong unwind table ends a walk and not the program.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <libunwind.h>
#include <link.h>
#include <stdatomic.h>
#include <string.h>

#include "raw.h"
#include "stack.h"

/* Exported, and in no header; perf(1) and gdb's kin use it too. */
extern int UNW_OBJ(dwarf_search_unwind_table)(unw_addr_space_t space, unw_word_t ip, unw_dyn_info_t *table,
                                              unw_proc_info_t *info, int need_unwind_info, void *argument);

#define PAGE 4096ul
#define PAGES_KNOWN 16

struct walk {
    const struct stack_registers *registers;
    uintptr_t readable[PAGES_KNOWN]; /* pages, by their number's low bits */
};

static unw_addr_space_t space;
static struct link_map *own_map, *library_map;

/* --- memory */

/* The kernel copies the set before it looks at `how`: EFAULT, or EINVAL where it could be read. */
static bool is_readable(struct walk *walk, uintptr_t address)
{
    uintptr_t page = address & ~(PAGE - 1), *known = &walk->readable[address / PAGE % PAGES_KNOWN];

    if (page == *known)
        return true;
    if (page == 0 || raw_call(SYS_rt_sigprocmask, -1, (long)page, 0, 8, 0, 0) != -22 /* EINVAL */)
        return false;
    *known = page;
    return true;
}

static bool read_word(struct walk *walk, uintptr_t address, uintptr_t *ret_word)
{
    if (!is_readable(walk, address) || !is_readable(walk, address + sizeof *ret_word - 1))
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
    const struct stack_registers *r = ((struct walk *)argument)->registers;

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
    struct walk *walk = argument;
    struct dl_find_object object;
    const struct unwind_header *header;
    unw_dyn_info_t table = {.format = UNW_INFO_FORMAT_REMOTE_TABLE};

    if (_dl_find_object((void *)ip, &object) != 0)
        return -UNW_ENOINFO;
    header = object.dlfo_eh_frame;
    if (!header || !is_readable(walk, (uintptr_t)header) ||
        !is_readable(walk, (uintptr_t)header + sizeof *header - 1) || header->version != 1 ||
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

bool stack_prepare(const void *library)
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

    space = unw_create_addr_space(&answers, 0);
    own_map = map_of((const void *)(uintptr_t)stack_prepare);
    library_map = map_of(library);
    return space != NULL; /* without a cache, which would be a lock for all threads */
}

/* --- objects */

static void read_notes(const char *note, const char *end, struct stack_module *module)
{
    while (note + sizeof(ElfW(Nhdr)) <= end) {
        const ElfW(Nhdr) *head = (const ElfW(Nhdr) *)note;
        const char *name = note + sizeof *head, *data = name + ((head->n_namesz + 3u) & ~3u);

        if (data + head->n_descsz > end)
            return;
        if (head->n_type == NT_GNU_BUILD_ID && head->n_namesz == 4 && memcmp(name, "GNU", 4) == 0 &&
            head->n_descsz <= STACK_BUILD_ID_MAX) {
            memcpy(module->build_id, data, head->n_descsz);
            module->build_id_length = head->n_descsz;
            return;
        }
        note = data + ((head->n_descsz + 3u) & ~3u);
    }
}

/* The file's header is the first thing in its first segment. */
static void read_build_id(struct walk *walk, const char *start, struct stack_module *module)
{
    const ElfW(Ehdr) *file = (const ElfW(Ehdr) *)start;
    const ElfW(Phdr) * segment;

    if (!is_readable(walk, (uintptr_t)start) || memcmp(file->e_ident, ELFMAG, SELFMAG) != 0 ||
        file->e_phoff + file->e_phnum * sizeof *segment > PAGE)
        return;
    segment = (const ElfW(Phdr) *)(start + file->e_phoff);
    for (unsigned i = 0; i < file->e_phnum && module->build_id_length == 0; i++, segment++) {
        const char *note = (const char *)(module->bias + segment->p_vaddr);

        if (segment->p_type == PT_NOTE && segment->p_memsz < PAGE && is_readable(walk, (uintptr_t)note) &&
            is_readable(walk, (uintptr_t)note + segment->p_memsz - 1))
            read_notes(note, note + segment->p_memsz, module);
    }
}

/* Index of the object that holds `pc`, -1: none, or there are too many. */
static int module_of(struct walk *walk, struct stack *stack, const struct dl_find_object *object)
{
    struct stack_module *module;

    for (unsigned i = 0; i < stack->module_count; i++)
        if (stack->modules[i].map == object->dlfo_link_map)
            return (int)i;
    if (stack->module_count == STACK_MODULES_MAX)
        return -1;
    module = &stack->modules[stack->module_count];
    module->map = object->dlfo_link_map;
    module->path = object->dlfo_link_map->l_name;
    module->bias = object->dlfo_link_map->l_addr;
    module->build_id_length = 0;
    read_build_id(walk, object->dlfo_map_start, module);
    return (int)stack->module_count++;
}

/* --- names: what the dynamic linker knows, the exported functions */

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

static void name(struct stack_frame *frame, const struct link_map *map, uintptr_t call)
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

/* --- the walk */

/* Of the library and of ourselves, and of what was made at run time: known by no object. */
static bool add_frame(struct walk *walk, struct stack *stack, uintptr_t pc, bool interrupted, bool names)
{
    struct stack_frame *frame = &stack->frames[stack->frame_count];
    uintptr_t call = interrupted ? pc : pc - 1; /* a call may be a function's last instruction */
    struct dl_find_object object;
    bool known = _dl_find_object((void *)call, &object) == 0;

    if (known && (object.dlfo_link_map == own_map || object.dlfo_link_map == library_map))
        return false;
    *frame = (struct stack_frame){
        .pc = pc, .interrupted = interrupted, .module = known ? module_of(walk, stack, &object) : -1};
    if (names && known)
        name(frame, object.dlfo_link_map, call);
    stack->frame_count++;
    return true;
}

void stack_walk(const struct stack_registers *registers, unsigned depth, bool names, struct stack *ret_stack)
{
    struct walk walk = {.registers = registers};
    unw_cursor_t cursor;
    unw_word_t pc = 0;
    int more;

    ret_stack->frame_count = ret_stack->module_count = 0;
    ret_stack->more = ret_stack->broken = false;
    if (unw_init_remote(&cursor, space, &walk) != 0) {
        ret_stack->broken = true;
        return;
    }
    /* The bound is for stacks that lead in a circle. */
    for (unsigned steps = 0; steps < 4 * STACK_FRAMES_MAX; steps++) {
        bool interrupted = steps == 0 || unw_is_signal_frame(&cursor) > 0;

        more = unw_step(&cursor);
        if (more <= 0 || unw_get_reg(&cursor, UNW_REG_IP, &pc) != 0 || pc == 0)
            break;
        if (ret_stack->frame_count == depth) {
            ret_stack->more = true;
            return;
        }
        add_frame(&walk, ret_stack, pc, interrupted && steps, names);
    }
    ret_stack->broken = more < 0;
}

/* --- forks in the middle of a walk */

/* pid 32 | broken 1 | walks under way 31 */
static _Atomic uint64_t walkers;
#define BROKEN 0x80000000u

bool stack_enter(int pid)
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

void stack_leave(void)
{
    atomic_fetch_sub(&walkers, 1);
}
