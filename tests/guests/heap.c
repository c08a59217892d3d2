/* Guest: fills glibc's heap, from its main thread or from several, and prints what it
 * sees of its environment. */

static size_t block, bytes;
static char **blocks;
static atomic_int filled;

static void *fill(void *number)
{
	for (size_t done = 0; done < bytes; done += block) {
		/* Room for malloc's own notes, so that blocks lie side by side. */
		char *memory = malloc(block - 16);
		if (!memory)
			BROKEN("malloc");
		memset(memory, 1, block - 16);
		blocks[(size_t)number * (bytes / block) + done / block] = memory;
	}
	filled++;
	for (;;)
		pause();
	return NULL;
}

/* `fill THREADS MEGABYTES BLOCK`: by none but the main thread if THREADS is 0. */
static void fill_all(const char *line)
{
	size_t threads, megabytes;
	if (sscanf(line, "fill %zu %zu %zu", &threads, &megabytes, &block) != 3)
		BROKEN("%s", line);
	size_t all = (megabytes << 20) / block;
	blocks = calloc(all + 1, sizeof *blocks);
	if (threads) {
		bytes = (megabytes << 20) / threads;
		for (size_t number = 0; number < threads; number++)
			start(fill, (void *)number);
		while (filled < (int)threads)
			nap_ms(1);
	} else {
		for (size_t number = 0; number < all; number++) {
			blocks[number] = malloc(block - 16);
			memset(blocks[number], 1, block - 16);
		}
	}
	answer("ok %zu", all);
}

/* The sum of every block's first byte. */
static void sum(size_t add)
{
	size_t sum = 0;
	for (size_t number = 0; blocks && blocks[number]; number++)
		sum += blocks[number][0] += add;
	answer("ok %zu", sum);
}

static void show(const char *value)
{
	answer("ok %s", value ? value : "-");
}

/* What the first line of a program's output is. */
static void first_line(const char *program)
{
	char line[256] = "-";
	FILE *output = popen(program, "r");
	if (fgets(line, sizeof line, output))
		line[strcspn(line, "\n")] = 0;
	pclose(output);
	show(line);
}

int main(int count, char **arguments)
{
	/* A word that shows which of several it is. */
	answer("ready %s", count > 1 ? arguments[1] : "-");
	for (const char *line; (line = command());) {
		if (strncmp(line, "fill ", 5) == 0) {
			fill_all(line);
		} else if (is(line, "sum")) {
			sum(0);
		} else if (is(line, "write")) {
			sum(1);
		} else if (strncmp(line, "env ", 4) == 0) {
			show(getenv(line + 4));
		} else if (strncmp(line, "run ", 4) == 0) {
			first_line(line + 4);
		} else if (strncmp(line, "become ", 7) == 0) {
			execl("/proc/self/exe", arguments[0], line + 7, (char *)NULL);
			answer("err %s", strerror(errno));
		} else {
			answer("err %s", line);
		}
	}
	return 0;
}
