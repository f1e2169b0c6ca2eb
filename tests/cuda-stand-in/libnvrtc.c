// Stands in front of NVIDIA's run-time compiler, hands every call on, and notes each program: its kernel, seconds, and whether
// it compiled.
//
//     cc -O2 -shared -fPIC -fvisibility=hidden -o libnvrtc.so libnvrtc.c -ldl
//
// cudarc looks for libnvrtc.so first, so its folder comes before the real one's in LD_LIBRARY_PATH.
//
//     SPY_NVRTC=libnvrtc.so.13  the real library
//     SPY_LOG=path              adds a line for each program, and the compiler's words on each failure ("-" or nothing: stderr)
//     SPY_SOURCE=folder         keeps the CUDA C++ of each program that fails
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define API __attribute__((visibility("default")))
static void *real;
static FILE *out;
static unsigned long failures;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void start(void) {
    const char *name = getenv("SPY_NVRTC"), *log = getenv("SPY_LOG");
    real = dlopen(name ? name : "libnvrtc.so.13", RTLD_NOW | RTLD_LOCAL);
    if (!real) fprintf(stderr, "spy nvrtc: %s\n", dlerror()), exit(2);
    out = log && strcmp(log, "-") ? fopen(log, "a") : stderr;
}
static void *next(const char *name) {
    pthread_once(&once, start);
    return dlsym(real, name);
}

API int nvrtcVersion(int *a, int *b) { return ((int (*)(int *, int *))next(__func__))(a, b); }
API const char *nvrtcGetErrorString(int code) { return ((const char *(*)(int))next(__func__))(code); }
API int nvrtcDestroyProgram(void **program) { return ((int (*)(void **))next(__func__))(program); }
API int nvrtcGetPTXSize(void *program, size_t *size) { return ((int (*)(void *, size_t *))next(__func__))(program, size); }
API int nvrtcGetPTX(void *program, char *text) { return ((int (*)(void *, char *))next(__func__))(program, text); }
API int nvrtcGetCUBINSize(void *program, size_t *size) { return ((int (*)(void *, size_t *))next(__func__))(program, size); }
API int nvrtcGetCUBIN(void *program, char *text) { return ((int (*)(void *, char *))next(__func__))(program, text); }
API int nvrtcGetProgramLogSize(void *program, size_t *size) {
    return ((int (*)(void *, size_t *))next(__func__))(program, size);
}
API int nvrtcGetProgramLog(void *program, char *text) { return ((int (*)(void *, char *))next(__func__))(program, text); }

static __thread char *source; /* of the program made last on this thread */
API int nvrtcCreateProgram(void **program, const char *text, const char *name, int headers, const char **bodies,
                           const char **names) {
    free(source), source = strdup(text);
    return ((int (*)(void **, const char *, const char *, int, const char **, const char **))next(__func__))(
        program, text, name, headers, bodies, names);
}
API int nvrtcCompileProgram(void *program, int count, const char **options) {
    int (*compile)(void *, int, const char **) = next(__func__);
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    int code = compile(program, count, options);
    clock_gettime(CLOCK_MONOTONIC, &to);
    double took = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) * 1e-9;
    pthread_mutex_lock(&lock);
    const char *kernel = source ? strstr(source, "__global__") : NULL, *arch = "";
    for (int i = 0; i < count; i++)
        if (!strncmp(options[i], "--gpu-arch", 10)) arch = strchr(options[i], '=') + 1;
    char entry[128] = "?";
    if (kernel) {
        const char *at = strchr(kernel, '('); /* __launch_bounds__( or the name's own */
        if (at && !strncmp(at - 17, "__launch_bounds__", 17)) at = strchr(strchr(at, ')'), '(');
        if (at) {
            const char *first = at;
            while (first > kernel && strchr(" \n", first[-1]) == NULL) first--;
            snprintf(entry, sizeof entry, "%.*s", (int)(at - first), first);
        }
    }
    fprintf(out, "%s %s %.2f s %zu B %s\n", code ? "failed" : "compiled", arch, took, source ? strlen(source) : 0, entry);
    if (code) {
        failures++;
        size_t size = 0;
        nvrtcGetProgramLogSize(program, &size);
        char *text = calloc(1, size + 1);
        nvrtcGetProgramLog(program, text);
        fprintf(out, "%s\n", text), free(text);
        const char *folder = getenv("SPY_SOURCE");
        if (folder && source) {
            char path[4096];
            snprintf(path, sizeof path, "%s/failed-%lu.cu", folder, failures);
            FILE *file = fopen(path, "w");
            if (file) fputs(source, file), fclose(file);
        }
    }
    fflush(out);
    pthread_mutex_unlock(&lock);
    return code;
}
