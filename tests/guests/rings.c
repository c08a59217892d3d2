/* Guest: rings that the program shares with the kernel, and other objects that no copy can have.
 * `aio`, `uring` and `faults` make one and answer with nothing or with the error's name;
 * `end` ends it. */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>

int main(void)
{
	aio_context_t context = 0;
	struct io_uring_params parameters;
	int ring = -1;
	for (const char *line; (line = command());) {
		long result = 0;
		if (is(line, "aio")) {
			result = syscall(SYS_io_setup, 8, &context);
		} else if (is(line, "uring")) {
			memset(&parameters, 0, sizeof parameters);
			ring = syscall(SYS_io_uring_setup, 8, &parameters);
			result = ring < 0 ? -1 : 0;
		} else if (is(line, "faults")) {
			ring = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
			result = ring < 0 ? -1 : 0;
		} else if (is(line, "end")) {
			if (context)
				result = syscall(SYS_io_destroy, context);
			if (ring >= 0)
				result = close(ring);
			context = 0;
			ring = -1;
		} else if (!is(line, "ping")) {
			answer("err %s", line);
			continue;
		}
		answer("ok %s", result < 0 ? strerrorname_np(errno) : "");
	}
	exit(0);
}
