// SPDX-License-Identifier: MIT
/*
 * x03: /init of a guest that looks for stale reads in the window between the
 * unmap and the flush of reclaim (../x03-stale-read.md).
 *
 *   R  CPU 2  spins: acquire load of seq, then load of x
 *   W  CPU 1  writes x, then release store of seq; the thread that runs the trials
 *   reclaimer CPU 3, a process of its own: process_madvise(MADV_PAGEOUT)
 *
 * A read is stale if x < seq although W wrote x before it stored seq. Lines of
 * results begin with @@.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define PAGE 4096ul
#define FILL_MAX 1024
#define HUGE (2ul << 20)
#define SWAP_BYTES (256ul << 20)
#define MADV_PAGEOUT_ 21
#define MODULE "/sys/module/x03mod/parameters/"

#define acquire(p) __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define release(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)

enum phase { PAUSED, RUNNING, QUIT };
enum command { NONE, PAGE_OUT, PAGE_OUT_UNDER_TEST, DRAIN, END };
/* What the page under test is when it is reclaimed. */
enum kind { CLEAN, DIRTY, LAZYFREE, FORKED };
/* What the module does (x03mod.c). */
enum mode { AS_IT_IS, WAIT, WAIT_FLUSH_BEFORE_REMOVE, WAIT_FLUSH_IN_FAULT, WAIT_BEFORE_UNMAP };

struct line {
	volatile uint64_t v;
	char pad[56];
};

/* Shared by all three, each word on a cache line of its own. */
static struct shared {
	struct line seq, phase, reader_paused, loops;
	struct line stale, first_stale, last_stale;
	struct line command, done, call_begin, call_end, pages, error;
} *sh;

static volatile uint64_t *x; /* the first page of the area; fillers follow */
static char *area;
static int pagemap_fd, on_disk, have_module;
static double tsc_mhz;
static enum kind kind;
static char cmdline[2048], swap_device[64] = "/dev/zram0";

static void die(const char *what)
{
	printf("@@die %s %d\n", what, errno);
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

static int write_text(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY);
	int result;

	if (fd < 0)
		return -1;
	result = write(fd, text, strlen(text)) < 0 ? -1 : 0;
	close(fd);
	return result;
}

static void set_parameter(const char *name, long value)
{
	char file[128], text[32];

	snprintf(file, sizeof(file), MODULE "%s", name);
	snprintf(text, sizeof(text), "%ld", value);
	write_text(file, text);
}

static size_t read_text(const char *file, char *into, size_t size)
{
	int fd = open(file, O_RDONLY);
	size_t used = 0;
	ssize_t got;

	if (fd < 0)
		return 0;
	while (used < size - 1 && (got = read(fd, into + used, size - 1 - used)) > 0)
		used += got;
	close(fd);
	into[used] = 0;
	return used;
}

static long parameter(const char *name)
{
	char file[128], text[64] = "";

	snprintf(file, sizeof(file), MODULE "%s", name);
	read_text(file, text, sizeof(text));
	return atol(text);
}

static long vmstat(const char *name)
{
	static char text[32768];
	char key[64], *at;

	text[0] = '\n';
	read_text("/proc/vmstat", text + 1, sizeof(text) - 1);
	snprintf(key, sizeof(key), "\n%s ", name);
	at = strstr(text, key);
	return at ? atol(at + strlen(key)) : -1;
}

static uint64_t pagemap(const volatile void *page)
{
	uint64_t entry = 0;

	if (pread(pagemap_fd, &entry, 8, (uintptr_t)page / PAGE * 8) != 8)
		die("pagemap");
	return entry;
}

static int is_swapped(const volatile void *page) { return pagemap(page) >> 62 & 1; }
static int is_present(const volatile void *page) { return pagemap(page) >> 63 & 1; }
static uint64_t pfn_of(const volatile void *page)
{
	uint64_t entry = pagemap(page);

	return entry >> 63 ? entry & ((1ull << 55) - 1) : 0;
}

/* R. No system call between two phases: what its TLB has, it keeps. */
static void *reader(void *unused)
{
	(void)unused;
	run_on(2);
	for (;;) {
		uint64_t phase = acquire(sh->phase.v), at, seq, seen;

		if (phase == QUIT)
			return NULL;
		if (phase == PAUSED) {
			release(sh->reader_paused.v, 1);
			continue;
		}
		/* before both loads: a later preemption cannot make a read look late */
		at = __rdtsc();
		seq = acquire(sh->seq.v);
		seen = *x;
		/* odd: stored after the write under test */
		if ((seq & 1) && seen < seq) {
			if (!sh->first_stale.v)
				sh->first_stale.v = at;
			sh->last_stale.v = at;
			sh->stale.v++;
		}
		sh->loops.v++;
	}
}

/* move_pages() -> lru_cache_disable(): the LRU batches of every CPU are emptied. */
static void drain_lru_batches(void)
{
	static char *own;
	void *page;
	int node = 0, status;

	if (!own) {
		own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		*own = 1;
	}
	page = own;
	syscall(SYS_move_pages, 0, 1ul, &page, &node, &status, 2);
}

static void page_out(int pidfd, int under_test)
{
	struct iovec range = { area, sh->pages.v * PAGE };
	long result;

	if (under_test && have_module)
		set_parameter("armed", 1);
	sh->call_begin.v = __rdtsc();
	result = syscall(SYS_process_madvise, pidfd, &range, 1ul, MADV_PAGEOUT_, 0ul);
	sh->call_end.v = __rdtsc();
	if (under_test && have_module)
		set_parameter("armed", 0);
	if (result < 0)
		release(sh->error.v, errno);
}

static void reclaimer(pid_t target)
{
	int pidfd;

	run_on(3);
	pidfd = syscall(SYS_pidfd_open, target, 0);
	if (pidfd < 0)
		die("pidfd_open");
	for (;;) {
		enum command command;

		while (!(command = acquire(sh->command.v)))
			usleep(50);
		if (command == END)
			_exit(0);
		if (command == DRAIN)
			drain_lru_batches();
		else
			page_out(pidfd, command == PAGE_OUT_UNDER_TEST);
		release(sh->command.v, NONE);
		release(sh->done.v, 1);
	}
}

static void post(enum command command)
{
	release(sh->done.v, 0);
	release(sh->command.v, command);
}

static void await_done(void)
{
	while (!acquire(sh->done.v))
		usleep(50);
}

static void do_now(enum command command)
{
	post(command);
	await_done();
}

static void await_reads(uint64_t reads)
{
	uint64_t before = acquire(sh->loops.v);

	while (acquire(sh->loops.v) - before < reads)
		usleep(50);
}

static void spin(double us)
{
	uint64_t from = __rdtsc();

	while ((__rdtsc() - from) / tsc_mhz < us)
		;
}

struct series {
	const char *name;
	enum mode mode;
	int delay_ms;
	int fill;      /* clean pages behind x, reclaimed in the same call */
	int look;      /* W also waits until this filler is swapped out */
	int early;     /* control: W writes only after the call has returned */
	int trials;
	double seconds; /* at most */
};

struct counts {
	long done, in_window, stale_trials, stale_reads, after_return, lost, same_pfn, new_pfn, swapped, skipped, retries;
	double longest_us, window_us;
};

/* Gives the page the state of its kind. 0: it did not come to it. */
static int prepare(struct counts *n, pid_t *child)
{
	int tries;

	if (kind == LAZYFREE) {
		if (madvise((void *)x, PAGE, MADV_FREE))
			die("MADV_FREE");
		return 1;
	}
	if (kind == DIRTY)
		return 1;
	for (tries = 0;; tries++) {
		if (tries == 20)
			return 0;
		do_now(DRAIN);
		do_now(PAGE_OUT);
		if (is_swapped(x))
			break;
		n->retries++;
	}
	/* the child keeps a count on the swap slot */
	if (kind == FORKED && !(*child = fork()))
		for (;;)
			pause();
	return 1;
}

static void end_child(pid_t child)
{
	if (child <= 0)
		return;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void print_example(uint64_t before, uint64_t after, uint64_t wrote, uint64_t reads)
{
	uint64_t from = sh->call_begin.v;

	printf("@@  example: pfn %lx -> %lx; us from the PAGEOUT call: W wrote and stored seq %.0f, "
	       "first stale read begins %.0f, last %.0f, call returned %.0f, stale reads %lu\n",
	       before, after, (double)(int64_t)(wrote - from) / tsc_mhz,
	       (double)(int64_t)(sh->first_stale.v - from) / tsc_mhz,
	       (double)(int64_t)(sh->last_stale.v - from) / tsc_mhz, (sh->call_end.v - from) / tsc_mhz, reads);
}

/* What R has seen of W's write of value + 1 at time `wrote`. */
static void judge(struct counts *n, int in, uint64_t wrote, uint64_t old_pfn, uint64_t stale_before)
{
	uint64_t new_pfn = pfn_of(x), reads = acquire(sh->stale.v) - stale_before;
	int in_window = in && wrote < sh->call_end.v;
	double us;

	n->in_window += in_window;
	n->new_pfn += in_window && old_pfn != new_pfn;
	if (wrote < sh->call_end.v)
		n->window_us += (sh->call_end.v - wrote) / tsc_mhz;
	if (!reads)
		return;
	n->stale_reads += reads;
	n->same_pfn += old_pfn == new_pfn;
	if (++n->stale_trials == 1)
		print_example(old_pfn, new_pfn, wrote, reads);
	us = ((double)sh->last_stale.v - wrote) / tsc_mhz;
	if (us > n->longest_us)
		n->longest_us = us;
	n->after_return += sh->last_stale.v > sh->call_end.v;
}

static void trial(const struct series *s, struct counts *n, uint64_t value)
{
	uint64_t stale_before, old_pfn, wrote;
	pid_t child = 0;
	long swapped;
	int i, in;

	release(sh->reader_paused.v, 0);
	release(sh->phase.v, PAUSED);
	while (!acquire(sh->reader_paused.v))
		sched_yield();
	*x = value;
	release(sh->seq.v, value);
	if (!prepare(n, &child)) {
		n->skipped++;
		return;
	}
	/* R's read fault makes a clean entry; the fillers get theirs from W */
	release(sh->phase.v, RUNNING);
	await_reads(1000);
	for (i = 1; i <= s->fill; i++)
		(void)*(volatile char *)(area + i * PAGE);
	if (on_disk)
		usleep(20000); /* the write-out ends */
	do_now(DRAIN);
	await_reads(2000);
	if (!is_present(x)) {
		n->skipped++;
		end_child(child);
		return;
	}
	sh->first_stale.v = sh->last_stale.v = 0;
	stale_before = sh->stale.v;
	old_pfn = pfn_of(x);
	swapped = vmstat("pswpout");

	post(PAGE_OUT_UNDER_TEST);
	if (s->early)
		await_done();
	while (is_present(x) && !acquire(sh->done.v))
		;
	if (s->look)
		while (!is_swapped(area + s->look * PAGE) && !acquire(sh->done.v))
			;
	if (s->mode >= WAIT && s->mode <= WAIT_FLUSH_IN_FAULT)
		spin(s->delay_ms > 20 ? 20000 : 3000); /* until the reclaimer waits */
	in = !acquire(sh->done.v);
	*x = value + 1; /* the write under test: it faults */
	n->lost += *x != value + 1;
	wrote = __rdtsc();
	release(sh->seq.v, value + 1);

	await_done();
	await_reads(3000);
	n->swapped += vmstat("pswpout") - swapped;
	n->done++;
	judge(n, in, wrote, old_pfn, stale_before);
	n->lost += *x != value + 1;
	end_child(child);
}

static void run(struct series s)
{
	static const char *const counters[] = { "delays", "delays_pending", "fixes", "writable_seen" };
	static uint64_t value = 2;
	struct counts n = { 0 };
	time_t begun = time(NULL);
	int i;

	if (!have_module && s.mode != AS_IT_IS) {
		printf("@@skip %s (no module)\n", s.name);
		return;
	}
	if (have_module) {
		set_parameter("mode", s.mode);
		set_parameter("delay_ms", s.delay_ms);
		for (i = 0; i < 4; i++)
			set_parameter(counters[i], 0);
	}
	sh->pages.v = 1 + s.fill;
	for (i = 0; i < s.trials && time(NULL) - begun < s.seconds; i++)
		trial(&s, &n, value += 2);
	printf("@@%-28s trials=%ld write_in_window=%ld STALE_TRIALS=%ld stale_reads=%ld longest_us=%.0f "
	       "mean_window_us=%.0f stale_after_return=%ld lost=%ld same_pfn=%ld new_pfn_in_window=%ld pswpout=%ld "
	       "skipped=%ld retries=%ld err=%ld",
	       s.name, n.done, n.in_window, n.stale_trials, n.stale_reads, n.longest_us,
	       n.in_window ? n.window_us / n.in_window : 0, n.after_return, n.lost, n.same_pfn, n.new_pfn, n.swapped,
	       n.skipped, n.retries, (long)sh->error.v);
	if (have_module)
		printf(" | mod delays=%ld pending=%ld fixes=%ld dirty_batch=%ld", parameter("delays"),
		       parameter("delays_pending"), parameter("fixes"), parameter("writable_seen"));
	printf("\n");
	fflush(stdout);
}

static void load_modules(void)
{
	FILE *order = fopen("/mods/order", "r");
	char name[128], path[160];

	if (!order)
		die("/mods/order");
	while (fscanf(order, "%127s", name) == 1) {
		int fd;

		snprintf(path, sizeof(path), "/mods/%s", name);
		fd = open(path, O_RDONLY);
		if (syscall(SYS_finit_module, fd, "", 0))
			printf("@@insmod %s errno %d\n", name, errno);
		close(fd);
	}
	fclose(order);
}

/* mkswap and swapon of the device that x03swap= names. */
static void swap_on(void)
{
	static char header[PAGE];
	uint32_t *info = (uint32_t *)(header + 1024);
	struct stat st;
	char *at = strstr(cmdline, "x03swap=");
	int i, fd;

	if (at)
		sscanf(at + 8, "%50s", swap_device);
	on_disk = !strstr(swap_device, "zram");
	for (i = 0; i < 300 && stat(swap_device, &st); i++)
		usleep(10000);
	if (!on_disk && write_text("/sys/block/zram0/disksize", "268435456"))
		die("disksize");
	fd = open(swap_device, O_RDWR);
	if (fd < 0)
		die(swap_device);
	info[0] = 1;
	info[1] = SWAP_BYTES / PAGE - 1;
	memcpy(header + PAGE - 10, "SWAPSPACE2", 10);
	if (pwrite(fd, header, PAGE, 0) != (ssize_t)PAGE)
		die("swap header");
	fsync(fd);
	close(fd);
	if (swapon(swap_device, 0))
		die("swapon");
}

static void set_up_memory(void)
{
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(sh, 0, sizeof(*sh));
	mlock(sh, sizeof(*sh));
	area = mmap(NULL, (FILL_MAX + 1) * PAGE + 2 * HUGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	/* in as few page tables as possible */
	area = (char *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1));
	x = (void *)area;
}

/* After the fork: MADV_PAGEOUT passes over pages that two processes map. */
static void fill_memory(void)
{
	unsigned long i, j;

	for (i = 0; i <= FILL_MAX; i++)
		for (j = 0; j < PAGE; j += 8)
			*(uint64_t *)(area + i * PAGE + j) = i == 0 ? 0 : (uint64_t)random() << (j & 31);
}

static void run_of_kind(enum kind which, struct series s)
{
	kind = which;
	run(s);
}

/* x03set=2: dirty, lazily freed and forked pages. */
static void run_kinds(void)
{
	run_of_kind(DIRTY, (struct series){ "kind_dirty_pte", WAIT, 10, 0, 0, 0, 100, 20 });
	run_of_kind(DIRTY, (struct series){ "kind_dirty_pte_nodelay", AS_IT_IS, 0, 30, 2, 0, 100, 20 });
	run_of_kind(LAZYFREE, (struct series){ "kind_lazyfree", WAIT, 10, 0, 0, 0, 100, 20 });
	run_of_kind(LAZYFREE, (struct series){ "kind_lazyfree_nodelay_fill30", AS_IT_IS, 0, 30, 2, 0, 200, 20 });
	run_of_kind(FORKED, (struct series){ "kind_forked_wp_copy", WAIT, 10, 0, 0, 0, 100, 30 });
	run_of_kind(FORKED, (struct series){ "kind_forked_nodelay_fill30", AS_IT_IS, 0, 30, 2, 0, 100, 20 });
	run_of_kind(CLEAN, (struct series){ "kind_clean", WAIT, 10, 0, 0, 0, 100, 20 });
}

/* x03set=3: with a wait so long that most writes get a new page. */
static void run_long_waits(void)
{
	run_of_kind(DIRTY, (struct series){ "dirty_pte_delay60", WAIT, 60, 0, 0, 0, 80, 16 });
	run_of_kind(FORKED, (struct series){ "forked_delay60", WAIT, 60, 0, 0, 0, 80, 16 });
	run_of_kind(CLEAN, (struct series){ "clean_delay60", WAIT, 60, 0, 0, 0, 80, 12 });
}

static void run_usual(void)
{
	run((struct series){ "delay10ms_fill8", WAIT, 10, 8, 0, 0, 150, 25 });
	run((struct series){ "fixA_flush_before_remove", WAIT_FLUSH_BEFORE_REMOVE, 10, 8, 0, 0, 150, 25 });
	run((struct series){ "fixB_flush_in_swapin", WAIT_FLUSH_IN_FAULT, 10, 8, 0, 0, 150, 25 });
	run((struct series){ "natural_fill30", AS_IT_IS, 0, 30, 2, 0, 300, 25 });
	run((struct series){ "natural_fill400", AS_IT_IS, 0, 400, 2, 0, 150, 30 });
	run((struct series){ "natural_fill0", AS_IT_IS, 0, 0, 0, 0, 300, 25 });
	run((struct series){ "write_after_return", AS_IT_IS, 0, 30, 0, 1, 150, 20 });
	run((struct series){ "delay10ms_fill0", WAIT, 10, 0, 0, 0, 150, 20 });
	run((struct series){ "delay_before_unmap", WAIT_BEFORE_UNMAP, 10, 0, 0, 0, 50, 15 });
}

int main(void)
{
	struct utsname name;
	pthread_t thread;
	uint64_t from;
	pid_t self = getpid(), child;

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mount("p", "/proc", "proc", 0, NULL);
	mount("s", "/sys", "sysfs", 0, NULL);
	mount("d", "/dev", "devtmpfs", 0, NULL);
	read_text("/proc/cmdline", cmdline, sizeof(cmdline));
	load_modules();
	swap_on();
	uname(&name);
	printf("@@kernel %s %s\n@@swap %s\n", name.release, name.version, swap_device);
	have_module = access(MODULE "mode", F_OK) == 0;
	write_text("/proc/sys/vm/swappiness", "200");
	write_text("/proc/sys/vm/page-cluster", "0");
	set_up_memory();
	from = __rdtsc();
	usleep(200000);
	tsc_mhz = (__rdtsc() - from) / 200000.0;

	child = fork();
	if (!child)
		reclaimer(self);
	if (have_module) {
		set_parameter("pid", child);
		set_parameter("tgid", self);
	}
	run_on(1);
	fill_memory();
	pagemap_fd = open("/proc/self/pagemap", O_RDONLY);
	pthread_create(&thread, NULL, reader, NULL);
	*x = 1;
	printf("@@modules x03mod=%d tsc_mhz=%.0f\n", have_module, tsc_mhz);
	run((struct series){ "warmup", AS_IT_IS, 0, 4, 0, 0, 5, 20 });
	if (strstr(cmdline, "x03set=3"))
		run_long_waits();
	else if (strstr(cmdline, "x03set=2"))
		run_kinds();
	else
		run_usual();

	release(sh->phase.v, QUIT);
	post(END);
	waitpid(child, NULL, 0);
	printf("@@end\n");
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
