// Names for clang's -Wthread-safety; nothing under other compilers.
#pragma once

#if defined(__clang__)
#define GILKNOCKER_TSA(x) __attribute__((x))
#else
#define GILKNOCKER_TSA(x)
#endif

#define GILKNOCKER_CAPABILITY(name) GILKNOCKER_TSA(capability(name))
#define GILKNOCKER_SCOPED_CAPABILITY GILKNOCKER_TSA(scoped_lockable)
#define GILKNOCKER_GUARDED_BY(mutex) GILKNOCKER_TSA(guarded_by(mutex))
#define GILKNOCKER_REQUIRES(...) GILKNOCKER_TSA(requires_capability(__VA_ARGS__))
#define GILKNOCKER_EXCLUDES(...) GILKNOCKER_TSA(locks_excluded(__VA_ARGS__))
#define GILKNOCKER_ACQUIRE(...) GILKNOCKER_TSA(acquire_capability(__VA_ARGS__))
#define GILKNOCKER_TRY_ACQUIRE(...) GILKNOCKER_TSA(try_acquire_capability(__VA_ARGS__))
#define GILKNOCKER_RELEASE(...) GILKNOCKER_TSA(release_capability(__VA_ARGS__))
#define GILKNOCKER_NO_ANALYSIS GILKNOCKER_TSA(no_thread_safety_analysis)
