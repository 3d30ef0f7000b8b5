/* A program of its own, linked with -z now -z relro: unlike the Pythons at hand, its relocations
 * lie in pages that are read-only by now, one called through and one in a table of pointers.
 * Prints what a test compares: what calls come to, and how the pages are protected. */

#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#include "relocations.h"

static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

/* volatile: read anew at each call, as a table of another file would be. */
static cond_signal const volatile table[] = {pthread_cond_signal};

static int hook(pthread_cond_t* signalled) { return signalled == &cond ? 1 : -1; }

static void print_calls(void) {
  printf("calls %d %d\n", pthread_cond_signal(&cond), table[0](&cond));
}

static void print_protection(uintptr_t address) {
  FILE* maps = fopen("/proc/self/maps", "re");
  char line[512];
  while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
    uintptr_t start, end;
    char permissions[5];
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &start, &end, permissions) == 3 &&
        address >= start && address < end) {
      printf("page %s\n", permissions);
    }
  }
  if (maps != NULL) fclose(maps);
}

static void print_all(void) {
  print_calls();
  for (size_t i = 0; i < relocation_count(); i++)
    print_protection((uintptr_t)relocation_address(i));
}

int main(void) {
  if (find_relocations((const void*)main) != FOUND) return 1;
  print_all();
  if (redirect_relocations(hook) != 0) return 2;
  print_all();
  if (restore_relocations(hook) != 0) return 3;
  print_all();
  return restore_relocations(hook) == 0 ? 4 : 0; /* nothing left to restore: refused */
}
