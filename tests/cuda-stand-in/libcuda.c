// A stand-in for NVIDIA's driver library, for machines without a GPU.
//
// It shows devices of a chosen compute capability, gives addresses for device memory, loads PTX modules, checks every launch
// against the limits of the device and of the kernel, counts, and executes nothing. What is copied to the device is checked and
// dropped, and what is read from it is zero, so that every run takes the same way and no memory is needed.
//
//     cc -O2 -shared -fPIC -fvisibility=hidden -Wl,-soname,libcuda.so -o libcuda.so libcuda.c -lpthread
//
// It must not be found as libcuda.so.1: under that name NVRTC itself opens it, asks for private tables (cuGetExportTable) and
// crashes without them. cudarc looks for libcuda.so first.
//
//     STANDIN_CC=9.0        compute capability: 7.0 7.5 8.0 8.6 8.9 9.0 10.0 12.0
//     STANDIN_DRIVER=13000  the driver's CUDA version (13000 is 13.0); PTX newer than it is refused, as a driver does
//     STANDIN_DEVICES=1     how many devices
//     STANDIN_MEMORY=80     GiB of memory a device; more than that is out of memory
//     STANDIN_LOG=path      one line an event: module, launch, copy, wait, refusal ("-" is stderr); others may add lines
//     STANDIN_PTX=folder    keeps each distinct PTX text there, to be assembled by ptxas
//     STANDIN_SUMMARY=path  adds a line of counts, as JSON, when the process ends, and one for each refusal
#define _GNU_SOURCE
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))
typedef int CUresult; /* 0 is success */
typedef uint64_t CUdeviceptr;
enum {
    OK = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    INVALID_IMAGE = 200,
    NO_BINARY = 209,
    INVALID_PTX = 218,
    UNSUPPORTED_PTX = 222,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    OUT_OF_RESOURCES = 701,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901
};

/* ---- settings --------------------------------------------------------------------------------------------------------- */

static struct {
    int cc, driver, devices, sms, threads_per_sm, registers;
    size_t memory, shared, shared_sm;
    const char *name;
} device;
static FILE *log_file, *summary_file;
static const char *ptx_folder;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct {
    unsigned long modules, distinct, launches, refused, allocations, frees, to_device, to_host, on_device, syncs, events, waits,
        streams, captures, replays, tensor_maps;
    uint64_t bytes_to_device, bytes_to_host, bytes_on_device, memory, peak;
} count;

static const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static void note(const char *format, ...) {
    if (!log_file) return;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(log_file, format, arguments);
    va_end(arguments);
    fputc('\n', log_file);
}

static CUresult refuse(CUresult code, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    count.refused++;
    note("refused %d %s", code, text);
    if (log_file != stderr) fprintf(stderr, "stand-in libcuda: refused (%d): %s\n", code, text);
    if (summary_file) fprintf(summary_file, "{\"refusal\": \"%d %s\"}\n", code, text), fflush(summary_file);
    return code;
}

static void summary(void) {
    if (!summary_file) return;
    fprintf(summary_file,
            "{\"sm\": %d, \"modules\": %lu, \"launches\": %lu, \"refused\": %lu, \"tensor_maps\": %lu, "
            "\"to_device\": %lu, \"bytes_to_device\": %lu, \"to_host\": %lu, \"bytes_to_host\": %lu, "
            "\"on_device\": %lu, \"bytes_on_device\": %lu, \"waits\": %lu, \"graphs\": %lu, \"replays\": %lu, "
            "\"allocations\": %lu, \"peak\": %lu}\n",
            device.cc, count.modules, count.launches, count.refused, count.tensor_maps, count.to_device, count.bytes_to_device,
            count.to_host, count.bytes_to_host, count.on_device, count.bytes_on_device, count.syncs, count.captures,
            count.replays, count.allocations, count.peak);
    fflush(summary_file);
}

static void start(void) {
    int major = 9, minor = 0;
    sscanf(setting("STANDIN_CC", "9.0"), "%d.%d", &major, &minor);
    device.cc = major * 10 + minor;
    device.driver = atoi(setting("STANDIN_DRIVER", "13000"));
    device.devices = atoi(setting("STANDIN_DEVICES", "1"));
    device.memory = (size_t)(atof(setting("STANDIN_MEMORY", "80")) * (1u << 30));
    device.threads_per_sm = 2048, device.registers = 65536;
    switch (device.cc) {
    case 70: device.name = "Tesla V100", device.sms = 80, device.shared = 96 << 10; break;
    case 75: device.name = "Tesla T4", device.sms = 40, device.shared = 64 << 10, device.threads_per_sm = 1024; break;
    case 80: device.name = "NVIDIA A100", device.sms = 108, device.shared = 163 << 10; break;
    case 86: device.name = "NVIDIA A10", device.sms = 72, device.shared = 99 << 10, device.threads_per_sm = 1536; break;
    case 89: device.name = "NVIDIA L4", device.sms = 58, device.shared = 99 << 10, device.threads_per_sm = 1536; break;
    case 90: device.name = "NVIDIA H100", device.sms = 132, device.shared = 227 << 10; break;
    case 100: device.name = "NVIDIA B200", device.sms = 148, device.shared = 227 << 10; break;
    case 120:
        device.name = "NVIDIA RTX PRO 6000", device.sms = 188, device.shared = 99 << 10, device.threads_per_sm = 1536;
        break;
    default: fprintf(stderr, "stand-in libcuda: STANDIN_CC is none of 7.0 7.5 8.0 8.6 8.9 9.0 10.0 12.0\n"); exit(2);
    }
    device.shared_sm = device.shared + 1024;
    const char *path = setting("STANDIN_LOG", NULL);
    if (path) log_file = strcmp(path, "-") ? fopen(path, "a") : stderr;
    if (log_file) setvbuf(log_file, NULL, _IOLBF, 0);
    path = setting("STANDIN_SUMMARY", NULL);
    if (path && !(summary_file = fopen(path, "a"))) fprintf(stderr, "stand-in libcuda: cannot write %s\n", path), exit(2);
    ptx_folder = setting("STANDIN_PTX", NULL);
    atexit(summary);
}

/* Every entry point: settings read, one caller at a time. */
#define ENTER()                                                                                                                \
    pthread_once(&once, start);                                                                                                \
    pthread_mutex_lock(&lock)
#define LEAVE(code)                                                                                                            \
    do {                                                                                                                       \
        CUresult code_ = (code);                                                                                               \
        pthread_mutex_unlock(&lock);                                                                                           \
        return code_;                                                                                                          \
    } while (0)

/* ---- devices and contexts ---------------------------------------------------------------------------------------------- */

API CUresult cuInit(unsigned flags) {
    (void)flags;
    pthread_once(&once, start);
    return OK;
}
API CUresult cuDriverGetVersion(int *version) {
    pthread_once(&once, start);
    *version = device.driver;
    return OK;
}
API CUresult cuDeviceGetCount(int *number) {
    pthread_once(&once, start);
    *number = device.devices;
    return OK;
}
API CUresult cuDeviceGet(int *handle, int ordinal) {
    pthread_once(&once, start);
    *handle = ordinal;
    return ordinal < 0 || ordinal >= device.devices ? INVALID_DEVICE : OK;
}
API CUresult cuDeviceGetName(char *name, int length, int handle) {
    (void)handle;
    snprintf(name, length, "%s", device.name);
    return OK;
}
API CUresult cuDeviceGetUuid_v2(char *uuid, int handle) {
    memset(uuid, 0, 16), uuid[15] = (char)handle;
    return OK;
}
API CUresult cuDeviceTotalMem_v2(size_t *bytes, int handle) {
    (void)handle;
    *bytes = device.memory;
    return OK;
}
API CUresult cuDeviceGetPCIBusId(char *text, int length, int handle) {
    snprintf(text, length, "0000:%02X:00.0", handle + 1);
    return OK;
}
API CUresult cuDeviceGetAttribute(int *value, int attribute, int handle) {
    (void)handle;
    pthread_once(&once, start);
    switch (attribute) {
    case 1: *value = 1024; break; /* threads a block */
    case 2:
    case 3: *value = 1024; break;       /* block x, y */
    case 4: *value = 64; break;         /* block z */
    case 5: *value = 2147483647; break; /* grid x */
    case 6:
    case 7: *value = 65535; break;       /* grid y, z */
    case 8: *value = 48 << 10; break;    /* shared memory a block */
    case 9: *value = 64 << 10; break;    /* constant memory */
    case 10: *value = 32; break;         /* warp */
    case 11: *value = 2147483647; break; /* pitch */
    case 12:
    case 82: *value = device.registers; break; /* registers a block, a multiprocessor */
    case 13: *value = 1755000; break;          /* kHz */
    case 16: *value = device.sms; break;
    case 36: *value = 2619000; break;  /* memory kHz */
    case 37: *value = 5120; break;     /* memory bus bits */
    case 38: *value = 50 << 20; break; /* L2 */
    case 39: *value = device.threads_per_sm; break;
    case 41:
    case 78:
    case 83:
    case 95:
    case 115: *value = 1; break; /* unified addresses, priorities, managed, cooperative, pools */
    case 75: *value = device.cc / 10; break;
    case 76: *value = device.cc % 10; break;
    case 81: *value = (int)device.shared_sm; break;
    case 97: *value = (int)device.shared; break; /* shared memory a block, opted in */
    case 111: *value = 1024; break;              /* reserved shared memory a block */
    default: *value = 0; note("attribute %d is not known: 0", attribute);
    }
    return OK;
}
static __thread void *current;
API CUresult cuDevicePrimaryCtxRetain(void **context, int handle) {
    *context = (void *)(uintptr_t)(0x1000 + handle);
    return OK;
}
API CUresult cuDevicePrimaryCtxRelease_v2(int handle) {
    (void)handle;
    return OK;
}
API CUresult cuCtxSetCurrent(void *context) {
    current = context;
    return OK;
}
API CUresult cuCtxGetCurrent(void **context) {
    *context = current;
    return OK;
}
API CUresult cuCtxGetDevice(int *handle) {
    *handle = (int)((uintptr_t)current - 0x1000);
    return current ? OK : INVALID_CONTEXT;
}
API CUresult cuCtxSynchronize(void) {
    ENTER();
    count.syncs++;
    note("wait");
    LEAVE(OK);
}
API CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest) {
    *least = 0, *greatest = -5;
    return OK;
}
API CUresult cuGetErrorName(CUresult code, const char **text) {
    switch (code) {
    case OK: *text = "CUDA_SUCCESS"; break;
    case INVALID_VALUE: *text = "CUDA_ERROR_INVALID_VALUE"; break;
    case OUT_OF_MEMORY: *text = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case 700: *text = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
    case INVALID_CONTEXT: *text = "CUDA_ERROR_INVALID_CONTEXT"; break;
    case NO_BINARY: *text = "CUDA_ERROR_NO_BINARY_FOR_GPU"; break;
    case INVALID_PTX: *text = "CUDA_ERROR_INVALID_PTX"; break;
    case UNSUPPORTED_PTX: *text = "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"; break;
    case OUT_OF_RESOURCES: *text = "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"; break;
    case NOT_SUPPORTED: *text = "CUDA_ERROR_NOT_SUPPORTED"; break;
    default: *text = "CUDA_ERROR";
    }
    return OK;
}
API CUresult cuGetErrorString(CUresult code, const char **text) { return cuGetErrorName(code, text); }

struct graph {
    unsigned long nodes;
};
static struct graph *recording;
static CUresult while_recording(const char *call);

/* ---- memory ------------------------------------------------------------------------------------------------------------ */

/* Live allocations, sorted by address. */
static struct range {
    uint64_t from, size;
} *ranges;
static size_t range_count, range_room;

static size_t range_at(uint64_t address) { /* the number of ranges that begin at or below address */
    size_t low = 0, high = range_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ranges[middle].from <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
static int live(uint64_t address, uint64_t size) {
    size_t at = range_at(address);
    return at && address + size <= ranges[at - 1].from + ranges[at - 1].size;
}

API CUresult cuMemAlloc_v2(CUdeviceptr *pointer, size_t size) {
    ENTER();
    if (recording) LEAVE(while_recording("cuMemAlloc"));
    if (!size) LEAVE(refuse(INVALID_VALUE, "cuMemAlloc of 0 bytes"));
    if (count.memory + size > device.memory)
        LEAVE(refuse(OUT_OF_MEMORY, "cuMemAlloc of %zu bytes, %lu in use", size, count.memory));
    void *memory = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) LEAVE(refuse(OUT_OF_MEMORY, "the host has no %zu bytes", size));
    if (range_count == range_room) ranges = realloc(ranges, (range_room = range_room ? range_room * 2 : 64) * sizeof *ranges);
    size_t at = range_at((uint64_t)memory);
    memmove(ranges + at + 1, ranges + at, (range_count - at) * sizeof *ranges);
    ranges[at] = (struct range){(uint64_t)memory, size}, range_count++;
    count.allocations++, count.memory += size;
    if (count.memory > count.peak) count.peak = count.memory;
    *pointer = (uint64_t)memory;
    LEAVE(OK);
}
API CUresult cuMemFree_v2(CUdeviceptr pointer) {
    ENTER();
    size_t at = range_at(pointer);
    if (!at || ranges[at - 1].from != pointer) LEAVE(refuse(INVALID_VALUE, "cuMemFree of an address that was not allocated"));
    count.frees++, count.memory -= ranges[at - 1].size;
    munmap((void *)pointer, ranges[at - 1].size);
    memmove(ranges + at - 1, ranges + at, (range_count - at) * sizeof *ranges), range_count--;
    LEAVE(OK);
}
API CUresult cuMemAllocAsync(CUdeviceptr *pointer, size_t size, void *stream) {
    (void)stream;
    return cuMemAlloc_v2(pointer, size);
}
API CUresult cuMemFreeAsync(CUdeviceptr pointer, void *stream) {
    (void)stream;
    return cuMemFree_v2(pointer);
}
API CUresult cuMemGetInfo_v2(size_t *left, size_t *total) {
    ENTER();
    *left = device.memory - count.memory, *total = device.memory;
    LEAVE(OK);
}
API CUresult cuMemAllocHost_v2(void **pointer, size_t size) {
    return posix_memalign(pointer, 4096, size ? size : 1) ? OUT_OF_MEMORY : OK;
}
API CUresult cuMemFreeHost(void *pointer) {
    free(pointer);
    return OK;
}

static CUresult outside(const char *call, uint64_t address, size_t size) {
    return refuse(INVALID_VALUE, "%s of %zu bytes at %#lx leaves its allocation", call, size, address);
}
API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void *source, size_t size, void *stream) {
    (void)stream;
    ENTER();
    if (!live(target, size)) LEAVE(outside("cuMemcpyHtoDAsync", target, size));
    (void)source, count.to_device++, count.bytes_to_device += size;
    note("to_device %zu", size);
    LEAVE(OK);
}
API CUresult cuMemcpyDtoHAsync_v2(void *target, CUdeviceptr source, size_t size, void *stream) {
    (void)stream;
    ENTER();
    if (!live(source, size)) LEAVE(outside("cuMemcpyDtoHAsync", source, size));
    memset(target, 0, size), count.to_host++, count.bytes_to_host += size;
    note("to_host %zu", size);
    LEAVE(OK);
}
API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, size_t size, void *stream) {
    (void)stream;
    ENTER();
    if (!live(target, size)) LEAVE(outside("cuMemcpyDtoDAsync", target, size));
    if (!live(source, size)) LEAVE(outside("cuMemcpyDtoDAsync", source, size));
    count.on_device++, count.bytes_on_device += size;
    note("on_device %zu", size);
    LEAVE(OK);
}
API CUresult cuMemcpyHtoD_v2(CUdeviceptr target, const void *source, size_t size) {
    return cuMemcpyHtoDAsync_v2(target, source, size, NULL);
}
API CUresult cuMemcpyDtoH_v2(void *target, CUdeviceptr source, size_t size) {
    return cuMemcpyDtoHAsync_v2(target, source, size, NULL);
}
API CUresult cuMemsetD8Async(CUdeviceptr target, unsigned char value, size_t size, void *stream) {
    (void)stream, (void)value;
    ENTER();
    if (!live(target, size)) LEAVE(outside("cuMemsetD8Async", target, size));
    LEAVE(OK);
}
struct copy2d { /* CUDA_MEMCPY2D */
    size_t source_x, source_y;
    int source_kind;
    const void *source_host;
    CUdeviceptr source_device;
    void *source_array;
    size_t source_pitch;
    size_t target_x, target_y;
    int target_kind;
    void *target_host;
    CUdeviceptr target_device;
    void *target_array;
    size_t target_pitch;
    size_t width, height;
};
API CUresult cuMemcpy2DAsync_v2(const struct copy2d *copy, void *stream) {
    (void)stream;
    enum { HOST = 1, DEVICE = 2 };
    ENTER();
    uint64_t source = copy->source_kind == HOST ? (uint64_t)copy->source_host : copy->source_device;
    uint64_t target = copy->target_kind == HOST ? (uint64_t)copy->target_host : copy->target_device;
    source += copy->source_y * copy->source_pitch + copy->source_x,
        target += copy->target_y * copy->target_pitch + copy->target_x;
    if (!copy->height || !copy->width) LEAVE(OK);
    size_t source_size = (copy->height - 1) * copy->source_pitch + copy->width,
           target_size = (copy->height - 1) * copy->target_pitch + copy->width;
    if (copy->source_kind == DEVICE && !live(source, source_size)) LEAVE(outside("cuMemcpy2DAsync", source, source_size));
    if (copy->target_kind == DEVICE && !live(target, target_size)) LEAVE(outside("cuMemcpy2DAsync", target, target_size));
    if (copy->target_kind == HOST)
        for (size_t row = 0; row < copy->height; row++) memset((void *)(target + row * copy->target_pitch), 0, copy->width);
    uint64_t bytes = copy->width * copy->height;
    if (copy->target_kind == HOST)
        count.to_host++, count.bytes_to_host += bytes, note("to_host %lu", bytes);
    else if (copy->source_kind == HOST)
        count.to_device++, count.bytes_to_device += bytes, note("to_device %lu", bytes);
    else
        count.on_device++, count.bytes_on_device += bytes, note("on_device %lu", bytes);
    LEAVE(OK);
}

/* ---- streams and events: everything is done at once; an event's time is the number of launches before it ------------------
 */

struct event {
    unsigned long launches;
};
API CUresult cuStreamCreate(void **stream, unsigned flags) {
    (void)flags;
    ENTER();
    *stream = (void *)(uintptr_t)(0x100 + ++count.streams);
    LEAVE(OK);
}
API CUresult cuStreamCreateWithPriority(void **stream, unsigned flags, int priority) {
    (void)priority;
    return cuStreamCreate(stream, flags);
}
API CUresult cuStreamDestroy_v2(void *stream) {
    (void)stream;
    return OK;
}
API CUresult cuStreamSynchronize(void *stream) {
    (void)stream;
    ENTER();
    if (recording) LEAVE(while_recording("cuStreamSynchronize"));
    count.syncs++;
    note("wait");
    LEAVE(OK);
}
API CUresult cuStreamWaitEvent(void *stream, void *event, unsigned flags) {
    (void)stream, (void)event, (void)flags;
    ENTER();
    count.waits++;
    LEAVE(OK);
}

/* Graphs: a recording counts launches and copies, and refuses what a recording must not do (memory, waits); one at a time. */
static int spoilt;
static CUresult while_recording(const char *call) {
    spoilt = 1;
    return refuse(CAPTURE_UNSUPPORTED, "%s while a graph is recorded", call);
}
API CUresult cuStreamIsCapturing(void *stream, int *status) {
    (void)stream;
    *status = recording ? 1 : 0;
    return OK;
}
API CUresult cuStreamBeginCapture_v2(void *stream, int mode) {
    (void)stream, (void)mode;
    ENTER();
    if (recording) LEAVE(refuse(INVALID_VALUE, "a graph is recorded already"));
    recording = calloc(1, sizeof *recording), spoilt = 0, count.captures++;
    note("capture begins");
    LEAVE(OK);
}
API CUresult cuStreamEndCapture(void *stream, void **graph) {
    (void)stream;
    ENTER();
    *graph = spoilt ? NULL : recording;
    note("capture ends, %lu nodes", recording ? recording->nodes : 0);
    if (!recording) LEAVE(refuse(INVALID_VALUE, "no graph is recorded"));
    recording = NULL;
    LEAVE(spoilt ? CAPTURE_INVALIDATED : OK);
}
API CUresult cuGraphGetNodes(void *graph, void **nodes, size_t *number) {
    size_t all = ((struct graph *)graph)->nodes;
    if (nodes)
        for (size_t i = 0; i < *number && i < all; i++) nodes[i] = graph;
    *number = all;
    return OK;
}
API CUresult cuGraphNodeGetType(void *node, int *type) {
    (void)node;
    *type = 0;
    return OK;
} /* a kernel */
API CUresult cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
    (void)flags;
    struct graph *copy = malloc(sizeof *copy);
    *copy = *(struct graph *)graph, *executable = copy;
    return OK;
}
API CUresult cuGraphUpload(void *executable, void *stream) {
    (void)executable, (void)stream;
    return OK;
}
API CUresult cuGraphLaunch(void *executable, void *stream) {
    (void)stream;
    ENTER();
    count.replays++;
    note("graph of %lu nodes", ((struct graph *)executable)->nodes);
    LEAVE(OK);
}
API CUresult cuGraphDestroy(void *graph) {
    free(graph);
    return OK;
}
API CUresult cuGraphExecDestroy(void *executable) {
    free(executable);
    return OK;
}
API CUresult cuEventCreate(void **event, unsigned flags) {
    (void)flags;
    *event = calloc(1, sizeof(struct event));
    return OK;
}
API CUresult cuEventDestroy_v2(void *event) {
    free(event);
    return OK;
}
API CUresult cuEventRecord(void *event, void *stream) {
    (void)stream;
    ENTER();
    count.events++, ((struct event *)event)->launches = count.launches;
    LEAVE(OK);
}
API CUresult cuEventSynchronize(void *event) {
    (void)event;
    ENTER();
    count.syncs++;
    note("wait");
    LEAVE(OK);
}
API CUresult cuEventQuery(void *event) {
    (void)event;
    return OK;
}
API CUresult cuEventElapsedTime_v2(float *milliseconds, void *from, void *to) {
    *milliseconds = 0.01f * (1 + (float)(((struct event *)to)->launches - ((struct event *)from)->launches));
    return OK;
}
API CUresult cuEventElapsedTime(float *milliseconds, void *from, void *to) {
    return cuEventElapsedTime_v2(milliseconds, from, to);
}

/* ---- modules and launches ------------------------------------------------------------------------------------------------ */

enum { PARAMETERS = 512 };
struct function {
    char name[256];
    unsigned most_threads[3], needed_threads[3]; /* .maxntid, .reqntid; 0 where the kernel does not say */
    size_t static_shared, dynamic_shared;        /* as declared; as set by cuFuncSetAttribute */
    int uses_dynamic, parameters;
    struct {
        char pointer;
        size_t size;
    } parameter[PARAMETERS];
};
struct module {
    struct function function;
};

static uint64_t digest(const char *text) {
    uint64_t value = 1469598103934665603ull;
    for (; *text; text++) value = (value ^ (unsigned char)*text) * 1099511628211ull;
    return value;
}
/* The newest PTX version of each driver, in tenths. */
static int newest_ptx(void) {
    static const int known[][2] = {{11040, 74}, {11060, 76}, {11070, 77}, {11080, 78}, {12000, 80}, {12010, 81},
                                   {12020, 82}, {12030, 83}, {12040, 84}, {12050, 85}, {12070, 86}, {12080, 87},
                                   {12090, 88}, {13000, 90}, {13010, 91}, {13020, 92}, {13030, 93}, {13040, 94}};
    int newest = 73;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (device.driver >= known[i][0]) newest = known[i][1];
    return device.driver >= 13050 ? 999 : newest;
}
static const char *after(const char *text, const char *word) {
    const char *found = text ? strstr(text, word) : NULL;
    return found ? found + strlen(word) : NULL;
}
static size_t elements_of(const char *declaration, const char *end) { /* bytes of `.align N .b8 name[SIZE]` or `.u64 name` */
    size_t bytes = 4;
    for (const char *at = declaration; at < end; at++) {
        if (at[0] == '.' && strchr("bufs", at[1]) && at[2] >= '0' && at[2] <= '9') bytes = (size_t)atoi(at + 2) / 8;
        if (at[0] == '[') return bytes * strtoull(at + 1, NULL, 10);
    }
    return bytes;
}

/* Reads what a launch has to respect out of the PTX text. */
static CUresult read_ptx(const char *ptx, struct function *out) {
    int major = 0, minor = 0, target = 0;
    char suffix = 0;
    const char *at = after(ptx, ".version ");
    if (!at || sscanf(at, "%d.%d", &major, &minor) != 2) return refuse(INVALID_PTX, "no .version");
    if (major * 10 + minor > newest_ptx())
        return refuse(UNSUPPORTED_PTX, "PTX %d.%d is newer than driver %d reads (NVRTC newer than the driver)", major, minor,
                      device.driver);
    at = after(ptx, ".target sm_");
    if (!at || sscanf(at, "%d%c", &target, &suffix) < 1) return refuse(INVALID_PTX, "no .target");
    if (target > device.cc || (suffix == 'a' && target != device.cc) || (suffix == 'f' && target / 10 != device.cc / 10))
        return refuse(NO_BINARY, "target sm_%d%c on sm_%d", target, suffix == 'a' || suffix == 'f' ? suffix : ' ', device.cc);
    at = after(ptx, ".entry ");
    if (!at) return refuse(INVALID_PTX, "no .entry");
    sscanf(at, "%255[^( \n\r\t]", out->name);
    const char *list = strchr(at, '('), *body = strchr(at, '{');
    const char *end = list && body && list < body ? strchr(list, ')') : NULL;
    if (!body) return refuse(INVALID_PTX, "%s has no body", out->name);
    for (const char *next = list; end && (next = after(next, ".param ")) && next < end && out->parameters < PARAMETERS;) {
        const char *stop = next + strcspn(next, ",)");
        const char *pointer = strstr(next, ".ptr");
        out->parameter[out->parameters].pointer = pointer && pointer < stop;
        out->parameter[out->parameters++].size = elements_of(next, stop);
    }
    for (const char *line = end ? end : at; line < body; line++) {
        unsigned *where = !strncmp(line, ".maxntid", 8)   ? out->most_threads
                          : !strncmp(line, ".reqntid", 8) ? out->needed_threads
                                                          : NULL;
        if (where) {
            where[1] = where[2] = 1;
            sscanf(line + 8, " %u , %u , %u", where, where + 1, where + 2);
        }
    }
    for (const char *line = ptx; (line = after(line, ".shared ")) && line[0];) {
        const char *stop = line + strcspn(line, ";\n"), *first = line - strlen(".shared ");
        while (first > ptx && first[-1] != '\n') first--;
        if (first + strspn(first, " \t") == line - strlen(".shared "))
            out->static_shared += elements_of(line, stop); /* a declaration */
        else if (!strncmp(first + strspn(first, " \t"), ".extern", 7))
            out->uses_dynamic = 1;
    }
    return OK;
}

API CUresult cuModuleLoadData(void **handle, const void *image) {
    static uint64_t *seen;
    static size_t seen_count, seen_room;
    ENTER();
    const char *ptx = image;
    struct module *module = calloc(1, sizeof *module);
    CUresult code = read_ptx(ptx, &module->function);
    if (code) {
        free(module);
        LEAVE(code);
    }
    count.modules++;
    uint64_t hash = digest(ptx);
    size_t i = 0;
    while (i < seen_count && seen[i] != hash) i++;
    if (i == seen_count) {
        if (seen_count == seen_room) seen = realloc(seen, (seen_room = seen_room ? seen_room * 2 : 256) * sizeof *seen);
        seen[seen_count++] = hash, count.distinct++;
        if (ptx_folder) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%016lx.ptx", ptx_folder, hash);
            FILE *out = fopen(path, "w");
            if (out) fputs(ptx, out), fclose(out);
        }
    }
    struct function *f = &module->function;
    note("module %016lx %s parameters %d static_shared %zu maxntid %u,%u,%u", hash, f->name, f->parameters, f->static_shared,
         f->most_threads[0], f->most_threads[1], f->most_threads[2]);
    *handle = module;
    LEAVE(OK);
}
API CUresult cuModuleUnload(void *module) {
    (void)module;
    return OK;
}
API CUresult cuModuleGetFunction(void **handle, void *module, const char *name) {
    ENTER();
    struct function *function = &((struct module *)module)->function;
    if (strcmp(function->name, name)) LEAVE(refuse(NOT_FOUND, "no kernel %s in the module of %s", name, function->name));
    *handle = function;
    LEAVE(OK);
}
API CUresult cuFuncSetAttribute(void *handle, int attribute, int value) {
    ENTER();
    struct function *function = handle;
    if (attribute == 8) { /* most dynamic shared memory */
        if (value < 0 || function->static_shared + (size_t)value > device.shared)
            LEAVE(refuse(INVALID_VALUE, "%s asks for %d + %zu bytes of shared memory, a block has %zu", function->name, value,
                         function->static_shared, device.shared));
        function->dynamic_shared = (size_t)value;
    }
    LEAVE(OK);
}
API CUresult cuFuncGetAttribute(int *value, int attribute, void *handle) {
    struct function *function = handle;
    *value = attribute == 1   ? (int)function->static_shared
             : attribute == 0 ? 1024
             : attribute == 8 ? (int)function->dynamic_shared
                              : 0;
    return OK;
}
API CUresult cuLaunchKernel(void *handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                            unsigned shared, void *stream, void **arguments, void **extra) {
    (void)stream, (void)extra;
    ENTER();
    struct function *f = handle;
    size_t dynamic = f->dynamic_shared > (48 << 10) - f->static_shared ? f->dynamic_shared : (48 << 10) - f->static_shared;
    unsigned long threads = (unsigned long)bx * by * bz;
    note("launch %s grid %u,%u,%u block %u,%u,%u shared %u", f->name, gx, gy, gz, bx, by, bz, shared);
    if (!gx || !gy || !gz || !threads) LEAVE(refuse(INVALID_VALUE, "%s: an empty grid or block", f->name));
    if (gx > 2147483647u || gy > 65535 || gz > 65535) LEAVE(refuse(INVALID_VALUE, "%s: grid %u,%u,%u", f->name, gx, gy, gz));
    if (bx > 1024 || by > 1024 || bz > 64 || threads > 1024)
        LEAVE(refuse(INVALID_VALUE, "%s: block %u,%u,%u", f->name, bx, by, bz));
    if (shared > dynamic) LEAVE(refuse(INVALID_VALUE, "%s: %u bytes of shared memory, %zu allowed", f->name, shared, dynamic));
    if (shared && !f->uses_dynamic) note("%s is given shared memory and uses none", f->name);
    if (f->most_threads[0] && threads > (unsigned long)f->most_threads[0] * f->most_threads[1] * f->most_threads[2])
        LEAVE(refuse(INVALID_VALUE, "%s: block %u,%u,%u above its .maxntid", f->name, bx, by, bz));
    if (f->needed_threads[0] && (bx != f->needed_threads[0] || by != f->needed_threads[1] || bz != f->needed_threads[2]))
        LEAVE(refuse(INVALID_VALUE, "%s: block %u,%u,%u is not its .reqntid", f->name, bx, by, bz));
    if (f->parameters && !arguments) LEAVE(refuse(INVALID_VALUE, "%s: no arguments", f->name));
    for (int i = 0; i < f->parameters; i++) {
        if (!arguments[i]) LEAVE(refuse(INVALID_VALUE, "%s: argument %d of %d is null", f->name, i, f->parameters));
        uint64_t value = 0;
        if (f->parameter[i].pointer) {
            memcpy(&value, arguments[i], 8);
            if (value && !live(value, 1))
                LEAVE(refuse(700, "%s: argument %d points at %#lx, which is not allocated", f->name, i, value));
        }
    }
    count.launches++;
    if (recording) recording->nodes++;
    /* cubecl measures a device by such a kernel, with ever more work until the host's clock shows 20 ms. */
    int is_measurement = !strncmp(f->name, "compute_", 8) && strstr(f->name, "throughput");
    pthread_mutex_unlock(&lock);
    if (is_measurement) usleep(25000);
    return OK;
}

/* ---- tensor maps (TMA): the rules of the programming guide ----------------------------------------------------------------
 */

static CUresult tensor_map(void *map, unsigned rank, uint64_t address, const uint64_t *sizes, const uint64_t *strides,
                           const unsigned *box, const unsigned *steps) {
    count.tensor_maps++;
    if (device.cc < 90) return refuse(NOT_SUPPORTED, "a tensor map on sm_%d", device.cc);
    if ((uint64_t)map % 64) return refuse(INVALID_VALUE, "the tensor map is not aligned to 64 bytes");
    if (rank < 1 || rank > 5) return refuse(INVALID_VALUE, "a tensor map of rank %u", rank);
    if (address % 16 || !live(address, 1)) return refuse(INVALID_VALUE, "a tensor map at %#lx", address);
    for (unsigned i = 0; i < rank; i++) {
        if (!sizes[i] || sizes[i] > 1ull << 32) return refuse(INVALID_VALUE, "tensor map: size %lu", sizes[i]);
        if (i + 1 < rank && (strides[i] % 16 || strides[i] >= 1ull << 40))
            return refuse(INVALID_VALUE, "tensor map: stride %lu", strides[i]);
        if (box && (!box[i] || box[i] > 256)) return refuse(INVALID_VALUE, "tensor map: box %u", box[i]);
        if (!steps[i] || steps[i] > 8) return refuse(INVALID_VALUE, "tensor map: step %u", steps[i]);
    }
    memset(map, 0, 128);
    return OK;
}
API CUresult cuTensorMapEncodeTiled(void *map, int type, unsigned rank, void *address, const uint64_t *sizes,
                                    const uint64_t *strides, const unsigned *box, const unsigned *steps, int interleave,
                                    int swizzle, int promotion, int fill) {
    (void)type, (void)interleave, (void)swizzle, (void)promotion, (void)fill;
    ENTER();
    LEAVE(tensor_map(map, rank, (uint64_t)address, sizes, strides, box, steps));
}
API CUresult cuTensorMapEncodeIm2col(void *map, int type, unsigned rank, void *address, const uint64_t *sizes,
                                     const uint64_t *strides, const int *lower, const int *upper, unsigned channels,
                                     unsigned pixels, const unsigned *steps, int interleave, int swizzle, int promotion,
                                     int fill) {
    (void)type, (void)lower, (void)upper, (void)interleave, (void)swizzle, (void)promotion, (void)fill;
    ENTER();
    if (channels > 256 || pixels > 1024) LEAVE(refuse(INVALID_VALUE, "tensor map: %u channels, %u pixels", channels, pixels));
    LEAVE(tensor_map(map, rank, (uint64_t)address, sizes, strides, NULL, steps));
}
