// Hides AVX-512 from a program and its children, so that a machine with it runs them as one without it.
//
//     cc -shared -fPIC -O2 -o without_avx512.so without_avx512.c
//     LD_PRELOAD=$PWD/without_avx512.so cargo test --release
//
// Where the kernel can make the CPUID instruction fault (Linux: arch_prctl(ARCH_SET_CPUID), Intel and recent AMD
// processors), a handler of the fault answers it without the AVX-512 bits. Elsewhere, each CPUID instruction of Rust's
// `core::arch::x86_64::__cpuid_count` becomes an invalid instruction, whose handler gives the same answer.
// WITHOUT_AVX512_REQUIRED=1 ends a program where neither is possible.
#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012

// Leaf 7 of CPUID (Intel SDM volume 2A, table 3-17): F, DQ, IFMA, PF, ER, CD, BW, VL | VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ |
// 4VNNIW, 4FMAPS, VP2INTERSECT, FP16 | in sub-leaf 1 BF16 and AVX10.
static const uint32_t LEAF_7_EBX = 1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31;
static const uint32_t LEAF_7_ECX = 1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14;
static const uint32_t LEAF_7_EDX = 1u << 2 | 1u << 3 | 1u << 8 | 1u << 23;
static const uint32_t LEAF_7_1_EAX = 1u << 5;
static const uint32_t LEAF_7_1_EDX = 1u << 19;

static long cpuid_faults(int on) { return syscall(SYS_arch_prctl, ARCH_SET_CPUID, on ? 0 : 1); }

// Answers the CPUID instruction at which a program stopped, and goes on after it.
static void answer(greg_t *registers) {
    uint32_t leaf = (uint32_t)registers[REG_RAX], sub_leaf = (uint32_t)registers[REG_RCX];
    uint32_t a = leaf, b, c = sub_leaf, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (leaf == 7 && sub_leaf == 0) {
        b &= ~LEAF_7_EBX;
        c &= ~LEAF_7_ECX;
        d &= ~LEAF_7_EDX;
    } else if (leaf == 7 && sub_leaf == 1) {
        a &= ~LEAF_7_1_EAX;
        d &= ~LEAF_7_1_EDX;
    }
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

static void answer_fault(int signal_number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *instruction = (const uint8_t *)registers[REG_RIP];
    // A real fault: the default action takes it when the instruction runs again.
    if (info->si_code != SI_KERNEL || instruction[0] != 0x0f || instruction[1] != 0xa2) {
        signal(signal_number, SIG_DFL);
        return;
    }
    cpuid_faults(0);
    answer(registers);
    cpuid_faults(1);
}

// Whether these are the second byte, `last`, of an instruction `0f last` between Rust's `mov REGISTER, rbx` and
// `xchg rbx, REGISTER`, which keep the register that compilers reserve.
static int is_rusts(const uint8_t *at, uint8_t last) {
    return (at[-3] == 0x48 || at[-3] == 0x49) && at[-2] == 0x89 && (at[-1] & 0xf8) == 0xd8 && at[0] == 0x0f && at[1] == last &&
           (at[2] == 0x48 || at[2] == 0x4c) && at[3] == 0x87 && (at[4] & 0xc7) == 0xc3;
}

static void answer_invalid(int signal_number, siginfo_t *info, void *context) {
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    if (is_rusts((const uint8_t *)registers[REG_RIP], 0x0b)) answer(registers);
    else signal(signal_number, SIG_DFL);
}

// Replaces the CPUID instructions of the program (the first object) by invalid ones; counts them.
static int replace(struct dl_phdr_info *object, size_t size, void *count) {
    (void)size;
    for (int index = 0; index < object->dlpi_phnum; index++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[index];
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X) || segment->p_memsz < 16) continue;
        uint8_t *begin = (uint8_t *)(object->dlpi_addr + segment->p_vaddr), *end = begin + segment->p_memsz - 8;
        uint8_t *page = (uint8_t *)((uintptr_t)begin & ~4095ul);
        int is_writable = 0;
        for (uint8_t *at = begin + 3; at < end; at++) {
            at = memchr(at, 0x0f, (size_t)(end - at));
            if (!at) break;
            if (!is_rusts(at, 0xa2)) continue;
            if (!is_writable && mprotect(page, (size_t)(end + 8 - page), PROT_READ | PROT_WRITE | PROT_EXEC)) return 1;
            is_writable = 1;
            at[1] = 0x0b;
            ++*(int *)count;
        }
        if (is_writable) mprotect(page, (size_t)(end + 8 - page), PROT_READ | PROT_EXEC);
    }
    return 1;
}

static int handles(int signal_number, void (*handler)(int, siginfo_t *, void *)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    return sigaction(signal_number, &action, NULL) == 0;
}

__attribute__((constructor)) static void hide(void) {
    if (handles(SIGSEGV, answer_fault) && cpuid_faults(1) == 0) return;
    signal(SIGSEGV, SIG_DFL);
    int count = 0;
    // Programs without such an instruction, as the shell, compute nothing with vectors that is tested.
    if (handles(SIGILL, answer_invalid)) dl_iterate_phdr(replace, &count);
    else if (getenv("WITHOUT_AVX512_REQUIRED")) {
        static const char words[] = "AVX-512 cannot be hidden from this program\n";
        (void)!write(2, words, sizeof words - 1);
        _exit(77);
    }
}
