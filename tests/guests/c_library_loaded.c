// Guest: a program that loads the shared library at run time, as Python does. It stays when it is
// closed, since its handlers and its thread may be there. `c_library_loaded LIBRARY`

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "snapshot.h"

static int memory = 1;

static void after(void *data) { printf("%s: memory %d\n", (const char *)data, memory); }

// A function's address. ISO C knows no cast to it from what `dlsym` returns.
static void find(void *library, const char *name, void *function) {
    void *found = dlsym(library, name);
    memcpy(function, &found, sizeof found);
}

int main(int count, char **words) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    void *library = count == 2 ? dlopen(words[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (library == NULL) {
        printf("not loaded: %s\n", dlerror());
        return 2;
    }
    int closed = dlclose(library);
    printf("closed %d, stays %d\n", closed, dlopen(words[1], RTLD_NOW | RTLD_NOLOAD) == library);
    int (*take)(const char *, struct snapshot_report *);
    int (*revert)(void);
    int (*install_handlers)(void);
    int (*on_revert)(void (*)(void *), void *, uint64_t *);
    find(library, "snapshot_take", &take);
    find(library, "snapshot_revert", &revert);
    find(library, "snapshot_install_handlers", &install_handlers);
    find(library, "snapshot_on_revert", &on_revert);
    printf("handlers %d\n", install_handlers());
    printf("hook %d\n", on_revert(after, "after", NULL));
    if (take("loaded", NULL) == SNAPSHOT_LIVE) {
        memory = 2;
        revert();
    }
    return 0;
}
