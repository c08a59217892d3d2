/* Shared memory: with a descriptor, without one, and with a file. It is read through /proc,
 * where a missing page is an error and no signal. */

#define PAGE 4096

/* Reads or writes memory; whether it is all there. */
static int peek(const void *address, void *bytes, long length)
{
	int fd = open("/proc/self/mem", O_RDONLY);
	long got = pread(fd, bytes, length, (off_t)(uintptr_t)address);
	close(fd);
	return got == length;
}

static int poke(void *address, const void *bytes, long length)
{
	int fd = open("/proc/self/mem", O_RDWR);
	long got = pwrite(fd, bytes, length, (off_t)(uintptr_t)address);
	close(fd);
	return got == length;
}

/* How an address is mapped, as `rw-s`; nothing where it is not. */
static const char *rights(const void *address)
{
	static char found_[5];
	unsigned long from, to;
	char flags[5], *rest, *text = strdup(text_of("/proc/self/maps"));
	found_[0] = 0;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (sscanf(line, "%lx-%lx %4s", &from, &to, flags) == 3 &&
		    (uintptr_t)address >= from && (uintptr_t)address < to)
			strcpy(found_, flags);
	free(text);
	return found_;
}

static void is_mapped(const char *address, const char *wanted, const char *what)
{
	WANT(is(rights(address), wanted), "%s is mapped %s and was %s", what, rights(address),
	     wanted);
}

static void holds(const char *address, long length, int tag, const char *what)
{
	char is_[length], was[length];
	WANT(peek(address, is_, length), "%s is not there", what);
	fill(was, length, tag);
	for (long byte = 0; byte < length; byte++)
		WANT(is_[byte] == was[byte], "%s: byte %ld is %d and was %d", what, byte, is_[byte],
		     was[byte]);
}

/* What is written at one place is seen at the other. */
static void one_memory(char *here, char *there, const char *what)
{
	static char mark;
	char seen;
	mark++;
	WANT(poke(here, &mark, 1) && peek(there, &seen, 1), "%s can't be used", what);
	SAME(seen, mark, "%s: what is written at another place", what);
}

static char *map(int fd, int length, int protection, int flags)
{
	char *address = mmap(NULL, length, protection, flags, fd, 0);
	if (address == MAP_FAILED)
		BROKEN("mmap: %s", strerror(errno));
	return address;
}

/* Memory with a descriptor. */
#define MOST_PAGES 6

static struct {
	int fd, dup, sealed;
	char *one, *other, *private, *closed, *closed_alias;
} memfds;

static int memfd_pages(int level)
{
	return level == 1 ? 3 : level == 2 ? 5 : 4;
}

static void set_memfds(int level)
{
	char bytes[PAGE];
	if (level == 1) {
		memfds.fd = DO(memfd_create("open", MFD_ALLOW_SEALING | MFD_CLOEXEC));
		memfds.dup = DO(dup(memfds.fd));
		memfds.sealed = DO(memfd_create("sealed", MFD_ALLOW_SEALING));
		fill(bytes, PAGE, 9);
		DO(write(memfds.sealed, bytes, PAGE));
		DO(fcntl(memfds.sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW));
		memfds.one = map(memfds.fd, MOST_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		memfds.other = map(memfds.fd, MOST_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		memfds.private = map(memfds.fd, MOST_PAGES * PAGE, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE);
		int closed = DO(memfd_create("closed", 0));
		DO(ftruncate(closed, 2 * PAGE));
		memfds.closed = map(closed, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		memfds.closed_alias = map(closed, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		close(closed);
	}
	DO(ftruncate(memfds.fd, memfd_pages(level) * PAGE - 100));
	fill(memfds.one, memfd_pages(level) * PAGE - 100, level);
	if (level == 1)
		fill(memfds.private, PAGE, 50);
	fill(memfds.closed, 2 * PAGE, 20 + level);
	DO(lseek(memfds.fd, 11 * level, SEEK_SET));
	if (level == 3)
		DO(fcntl(memfds.fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK));
}

/* The first page of a file, read and not mapped. */
static void first_page_is(int fd, int filling, const char *otherwise)
{
	char bytes[PAGE], wanted[PAGE];
	fill(wanted, PAGE, filling);
	WANT(pread(fd, bytes, PAGE, 0) == PAGE && memcmp(bytes, wanted, PAGE) == 0, "%s", otherwise);
}

static void check_memfds(int level)
{
	int length = memfd_pages(level) * PAGE - 100;
	char bytes[1] = { 0 }, mark = 'm';
	struct stat stat;
	DO(fstat(memfds.fd, &stat));
	SAME(stat.st_size, length, "the size");
	SAME(fcntl(memfds.fd, F_GET_SEALS), level == 3 ? F_SEAL_GROW | F_SEAL_SHRINK : 0, "the seals");
	SAME(fcntl(memfds.sealed, F_GET_SEALS), F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW,
	     "the seals of the sealed one");
	SAME(lseek(memfds.dup, 0, SEEK_CUR), 11 * level, "the offset");
	is_mapped(memfds.one, "rw-s", "a mapping");
	is_mapped(memfds.other, "rw-s", "another mapping");
	is_mapped(memfds.private, "rw-p", "a private mapping");
	is_mapped(memfds.closed, "rw-s", "a mapping without a descriptor");
	holds(memfds.one, length, level, "a mapping");
	holds(memfds.other, length, level, "another mapping");
	holds(memfds.private, PAGE, 50, "the private page of a private mapping");
	holds(memfds.closed, 2 * PAGE, 20 + level, "a mapping without a descriptor");
	holds(memfds.closed_alias, 2 * PAGE, 20 + level, "another mapping without a descriptor");
	first_page_is(memfds.fd, level, "what is read differs from what is mapped");
	first_page_is(memfds.sealed, 9, "the sealed one has other contents");
	WANT(pwrite(memfds.sealed, bytes, 1, 0) == -1 && errno == EPERM, "a seal does not hold");
	one_memory(memfds.one, memfds.other, "two mappings");
	one_memory(memfds.other + 2 * PAGE, memfds.one + 2 * PAGE, "two mappings");
	one_memory(memfds.closed + PAGE, memfds.closed_alias + PAGE, "two without a descriptor");
	/* A page that the private mapping hasn't written to is the shared one's. */
	one_memory(memfds.one + PAGE, memfds.private + PAGE, "a private mapping's shared page");
	WANT(pwrite(memfds.dup, &mark, 1, PAGE + 5) == 1, "it can't be written");
	WANT(peek(memfds.one + PAGE + 5, bytes, 1) && bytes[0] == 'm',
	     "what is written to the descriptor is not in a mapping");
}

static void write_memfds(void)
{
	char bytes[PAGE];
	memset(bytes, 'b', sizeof bytes);
	poke(memfds.one + 17, bytes, 100);
	poke(memfds.private + 17, bytes, 100);
	poke(memfds.closed_alias + PAGE, bytes, PAGE);
	(void)!pwrite(memfds.dup, bytes, sizeof bytes, PAGE);
}

static void grow_memfd(void)
{
	(void)!ftruncate(memfds.fd, MOST_PAGES * PAGE);
}

static void shrink_memfd(void)
{
	(void)!ftruncate(memfds.fd, 10);
}

static void seal_memfd(void)
{
	fcntl(memfds.dup, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);
}

static void seek_memfd(void)
{
	lseek(memfds.fd, 0, SEEK_END);
}

static void unmap_memfds(void)
{
	munmap(memfds.other, MOST_PAGES * PAGE);
	munmap(memfds.closed, 2 * PAGE);
	munmap(memfds.closed_alias, 2 * PAGE);
}

static void cover_memfds(void)
{
	mmap(memfds.one, MOST_PAGES * PAGE, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* Memory without a descriptor, and that of a file. */
#define SHARED (16 * PAGE)

static struct {
	int fd, again;
	char *memory, *alias, *read_only, *file, *file_again, *file_closed;
} shared;

static void set_shared(int level)
{
	if (level == 1) {
		make_file("mapped", 4 * PAGE, 0);
		make_file("mapped-closed", PAGE, 0);
		shared.fd = DO(open(at("mapped"), O_RDWR));
		shared.again = DO(open(at("mapped"), O_RDONLY | O_CLOEXEC));
		int closed = DO(open(at("mapped-closed"), O_RDWR));
		shared.memory = map(-1, SHARED, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
		shared.alias = mremap(shared.memory, 0, SHARED, MREMAP_MAYMOVE);
		shared.read_only = map(-1, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
		shared.file = map(shared.fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		shared.file_again = map(shared.fd, 4 * PAGE, PROT_READ, MAP_SHARED);
		shared.file_closed = map(closed, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		close(closed);
		if (shared.alias == MAP_FAILED)
			BROKEN("mremap: %s", strerror(errno));
	}
	mprotect(shared.read_only, PAGE, PROT_READ | PROT_WRITE);
	fill(shared.memory, SHARED, level);
	fill(shared.read_only, PAGE, 30 + level);
	fill(shared.file, 4 * PAGE, 60 + level);
	fill(shared.file_closed, PAGE, 90 + level);
	mprotect(shared.read_only, PAGE, PROT_READ);
}

static void check_shared(int level)
{
	char bytes[1], wanted[1];
	is_mapped(shared.memory, "rw-s", "shared memory");
	is_mapped(shared.alias, "rw-s", "its second mapping");
	is_mapped(shared.read_only, "r--s", "shared memory to read");
	is_mapped(shared.file, "rw-s", "a file");
	is_mapped(shared.file_again, "r--s", "a file to read");
	is_mapped(shared.file_closed, "rw-s", "a file without a descriptor");
	holds(shared.memory, SHARED, level, "shared memory");
	holds(shared.alias, SHARED, level, "its second mapping");
	holds(shared.read_only, PAGE, 30 + level, "shared memory to read");
	holds(shared.file, 4 * PAGE, 60 + level, "a file");
	holds(shared.file_again, 4 * PAGE, 60 + level, "a file to read");
	holds(shared.file_closed, PAGE, 90 + level, "a file without a descriptor");
	first_page_is(shared.fd, 60 + level, "what is read of a file differs from what is mapped");
	one_memory(shared.memory, shared.alias, "two mappings");
	one_memory(shared.alias + SHARED - 1, shared.memory + SHARED - 1, "two mappings");
	one_memory(shared.file + 2 * PAGE, shared.file_again + 2 * PAGE, "two of a file");
	WANT(pread(shared.fd, bytes, 1, 2 * PAGE) == 1 && peek(shared.file + 2 * PAGE, wanted, 1) &&
		     bytes[0] == wanted[0],
	     "a file and its mapping differ");
}

static void write_shared(void)
{
	char bytes[PAGE];
	memset(bytes, 'b', sizeof bytes);
	poke(shared.memory + PAGE + 1, bytes, 1000);
	poke(shared.alias + 9 * PAGE, bytes, PAGE);
}

static void write_mapped_files(void)
{
	char bytes[PAGE];
	memset(bytes, 'b', sizeof bytes);
	poke(shared.file + 100, bytes, PAGE);
	poke(shared.file_closed, bytes, PAGE);
	(void)!pwrite(shared.fd, bytes, PAGE, 3 * PAGE);
}

static void punch_shared(void)
{
	madvise(shared.memory + 4 * PAGE, 4 * PAGE, MADV_REMOVE);
}

static void protect_shared(void)
{
	mprotect(shared.read_only, PAGE, PROT_READ | PROT_WRITE);
	mprotect(shared.alias, PAGE, PROT_NONE);
}

static void unmap_shared(void)
{
	munmap(shared.alias, SHARED);
	munmap(shared.read_only, PAGE);
	munmap(shared.file_closed, PAGE);
}

static void cover_shared(void)
{
	mmap(shared.memory, SHARED, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	mmap(shared.file, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, shared.fd, 0);
}
