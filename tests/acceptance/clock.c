/* A wall clock that is wrong, and jumps; the monotonic one goes on.
 *
 * SYNCD_CLOCK  "<seconds> <calls> <seconds>": off by the first, from so many calls on by the second
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long long before, after;
static long jump;
static atomic_long seen;

__attribute__((constructor)) static void begin(void) {
    const char *given = getenv("SYNCD_CLOCK");
    if (given && sscanf(given, "%lld %ld %lld", &before, &jump, &after) != 3)
        abort();
}

int clock_gettime(clockid_t which, struct timespec *now) {
    __typeof__(&clock_gettime) real = (__typeof__(&clock_gettime))dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(which, now);
    if (!done && which == CLOCK_REALTIME)
        now->tv_sec += atomic_fetch_add(&seen, 1) < jump ? before : after;
    return done;
}
