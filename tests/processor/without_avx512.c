// Hides AVX-512 from a program and its children, so that a machine with it runs them as one without it.
//
//     cc -shared -fPIC -O2 -o without_avx512.so without_avx512.c
//     LD_PRELOAD=$PWD/without_avx512.so cargo test --release
//
// The kernel makes the CPUID instruction fault (Linux: arch_prctl(ARCH_SET_CPUID), Intel and recent AMD processors), and a
// handler answers it without the AVX-512 bits. WITHOUT_AVX512_REQUIRED=1 ends a program where the kernel cannot.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
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

static void answer(int signal_number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *instruction = (const uint8_t *)registers[REG_RIP];
    // A real fault: the default action takes it when the instruction runs again.
    if (info->si_code != SI_KERNEL || instruction[0] != 0x0f || instruction[1] != 0xa2) {
        signal(signal_number, SIG_DFL);
        return;
    }
    uint32_t leaf = (uint32_t)registers[REG_RAX], sub_leaf = (uint32_t)registers[REG_RCX];
    uint32_t a = leaf, b, c = sub_leaf, d;
    cpuid_faults(0);
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    cpuid_faults(1);
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

__attribute__((constructor)) static void hide(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    if (sigaction(SIGSEGV, &action, NULL) == 0 && cpuid_faults(1) == 0) return;
    if (getenv("WITHOUT_AVX512_REQUIRED")) {
        static const char words[] = "this processor or kernel cannot hide AVX-512\n";
        (void)!write(2, words, sizeof words - 1);
        _exit(77);
    }
}
