/* A libnvidia-ml.so.1 whose GPUs are folders of files below $NVML_STUB: gpu0/power holds what nvmlDeviceGetPowerUsage
 * answers, "error 15" its return code; without the file the answer is "not supported". `driver` holds the loaded
 * driver's version: whoever opened the library before it changed has lost it. While gpu0/hang is there, asking for the
 * handle does not return, which gpu0/hanging tells. Openings are noted in `openings`. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, UNINITIALIZED = 1, NOT_SUPPORTED = 3, DRIVER_NOT_LOADED = 9 };
typedef struct { char folder[16]; } gpu_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int gpu, memory; } utilization_t;
typedef struct { unsigned int version, sensor; int celsius; } temperature_t;

static gpu_t gpus[8];
static char opened_with[64];
static int num_openings;

static void place(char *path, const char *folder, const char *name) {
    snprintf(path, PATH_MAX, "%s/%s/%s", getenv("NVML_STUB"), folder, name);
}

static int text(const char *folder, const char *name, char *out, unsigned int size) {
    char path[PATH_MAX];
    int code;
    place(path, folder, name);
    FILE *file = fopen(path, "r");
    if (file == NULL) return NOT_SUPPORTED;
    size_t length = fread(out, 1, size - 1, file);
    fclose(file);
    out[length] = 0;
    return sscanf(out, "error %d", &code) == 1 ? code : OK;
}

static int number(const char *folder, const char *name, unsigned long long *out) {
    char digits[64];
    int code = text(folder, name, digits, sizeof digits);
    if (code == OK) *out = strtoull(digits, NULL, 10);
    return code;
}

static int driver(char *version, unsigned int size) {
    int code = text(".", "driver", version, size);
    return code == NOT_SUPPORTED ? DRIVER_NOT_LOADED : code;
}

static int usable(void) {
    char version[64];
    int code = driver(version, sizeof version);
    return code != OK ? code : num_openings && !strcmp(version, opened_with) ? OK : UNINITIALIZED;
}

static int answer(gpu_t *gpu, const char *name, unsigned long long *out) {
    int code = usable();
    return code != OK ? code : number(gpu->folder, name, out);
}

static int small_answer(gpu_t *gpu, const char *name, unsigned int *out) {
    unsigned long long value = 0;
    int code = answer(gpu, name, &value);
    if (code == OK) *out = (unsigned int)value;
    return code;
}

int nvmlInitWithFlags(unsigned int flags) {
    char path[PATH_MAX], version[64];
    (void)flags;
    place(path, ".", "openings");
    FILE *file = fopen(path, "a");
    if (file != NULL) { fputs("x", file); fclose(file); }
    int code = driver(version, sizeof version);
    if (code != OK) return code;
    if (num_openings++ == 0) strcpy(opened_with, version);
    return OK;
}

int nvmlShutdown(void) {
    if (num_openings == 0) return UNINITIALIZED;
    num_openings--;
    return OK;
}

const char *nvmlErrorString(int code) { (void)code; return "an error that has no name"; }

int nvmlSystemGetDriverVersion(char *out, unsigned int size) {
    int code = usable();
    return code != OK ? code : driver(out, size);
}

int nvmlDeviceGetCount_v2(unsigned int *out) {
    unsigned long long count = 0;
    int code = usable();
    if (code == OK) code = number(".", "count", &count);
    *out = (unsigned int)count;
    return code;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, gpu_t **out) {
    char hang[PATH_MAX], hanging[PATH_MAX];
    unsigned long long ignored;
    gpu_t *gpu = &gpus[index];
    snprintf(gpu->folder, sizeof gpu->folder, "gpu%u", index);
    place(hang, gpu->folder, "hang");
    place(hanging, gpu->folder, "hanging");
    while (access(hang, F_OK) == 0) {
        fclose(fopen(hanging, "w"));
        usleep(2000);
    }
    *out = gpu;
    return answer(gpu, "handle", &ignored);
}

int nvmlDeviceGetUUID(gpu_t *gpu, char *out, unsigned int size) { return text(gpu->folder, "uuid", out, size); }
int nvmlDeviceGetName(gpu_t *gpu, char *out, unsigned int size) { return text(gpu->folder, "name", out, size); }

int nvmlDeviceGetUtilizationRates(gpu_t *gpu, utilization_t *out) { return small_answer(gpu, "utilization", &out->gpu); }

int nvmlDeviceGetMemoryInfo(gpu_t *gpu, memory_t *out) {
    int code = answer(gpu, "memory_total", &out->total);
    return code != OK ? code : answer(gpu, "memory_used", &out->used);
}

#ifndef OLD_DRIVER
int nvmlDeviceGetTemperatureV(gpu_t *gpu, temperature_t *out) {
    return small_answer(gpu, "temperature", (unsigned int *)&out->celsius);
}
int nvmlDeviceGetCurrentClocksEventReasons(gpu_t *gpu, unsigned long long *out) { return answer(gpu, "reasons", out); }
#else
int nvmlDeviceGetTemperature(gpu_t *gpu, unsigned int sensor, unsigned int *out) {
    (void)sensor;
    return small_answer(gpu, "temperature", out);
}
int nvmlDeviceGetCurrentClocksThrottleReasons(gpu_t *gpu, unsigned long long *out) {
    return answer(gpu, "reasons", out);
}
#endif

int nvmlDeviceGetPowerUsage(gpu_t *gpu, unsigned int *out) { return small_answer(gpu, "power", out); }

int nvmlDeviceGetClockInfo(gpu_t *gpu, unsigned int clock, unsigned int *out) {
    return small_answer(gpu, clock == 2 ? "clock_memory" : "clock_graphics", out);
}
