/*
 * A QEMU TCG plugin (API version 1) that counts how often each guest
 * instruction is executed.
 *
 *     cc -O2 -fPIC -shared count.c -o libcount.so
 *     qemu-system-aarch64 -plugin libcount.so,out=/dev/shm/counts ...
 *
 * FILE is shared memory with one 64-bit counter for each instruction word of
 * two windows: the virtual addresses below 4 GiB, where each protection domain
 * has a range of its own, and above them 1 GiB of the kernel's, which begin at
 * 2^39. What is executed elsewhere is counted in the last word of the first
 * window. The file has holes where no code is. One CPU only.
 *
 * Debian has no qemu-plugin.h, so what is used of it is declared here.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
enum plugin_op { ADD_U64 };

typedef void (*tb_callback)(plugin_id, struct qemu_plugin_tb *);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, tb_callback);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, enum plugin_op, void *, uint64_t);

EXPORT int qemu_plugin_version = 1;

#define LOW_WORDS (1ull << 30)
#define KERNEL_WORDS (1ull << 28)
#define KERNEL_BASE_BIT 39

static uint64_t *counters;

static size_t word_of(uint64_t address)
{
    if (address >> KERNEL_BASE_BIT)
        return LOW_WORDS + (address / 4) % KERNEL_WORDS;
    if (address >> 32)
        return LOW_WORDS - 1;
    return address / 4;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t *counter = &counters[word_of(qemu_plugin_insn_vaddr(insn))];
        qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD_U64, counter, 1);
    }
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv)
{
    (void)info;
    const char *out = NULL;
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4))
            out = argv[i] + 4;
    if (!out)
        return -1;
    int file = open(out, O_RDWR | O_CREAT | O_TRUNC, 0600);
    size_t bytes = (LOW_WORDS + KERNEL_WORDS) * sizeof *counters;
    if (file < 0 || ftruncate(file, bytes))
        return -1;
    counters = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
    if (counters == MAP_FAILED)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
