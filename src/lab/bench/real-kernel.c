/*
 * What the kernel of this machine does in the same operations: anonymous page faults, and MADV_DONTNEED of one page with
 * its refault. Compiled and run by real-kernel.ts; one line of output: operations per second, all threads together.
 *
 *     real-kernel fault|refault THREADS MILLISECONDS
 *
 * Each thread has a mapping of its own in the one process, 2 MiB aligned and apart from the others', of small pages
 * (MADV_NOHUGEPAGE). Only the operations are timed, batch by batch, as the measuring actors do it (actors/bench.ts).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096UL
#define HUGE (512 * PAGE)
#define THREADS_MAX 64

/* The same as in faults.ts. */
#define FAULT_PAGES 8192
#define REFAULT_PAGES 256
#define BATCH 256

static int refault;
static uint64_t run_ns;
static pthread_barrier_t barrier;
static double rates[THREADS_MAX];

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void touch(volatile char *page)
{
	*page = 1;
}

static char *region(size_t bytes)
{
	/* the hole behind the mapping keeps the kernel from merging it with its neighbour's */
	char *at = mmap(NULL, bytes + 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *aligned;

	if (at == MAP_FAILED)
		return NULL;
	aligned = (char *)(((uintptr_t)at + HUGE - 1) & ~(HUGE - 1));
	if (mprotect(aligned, bytes, PROT_READ | PROT_WRITE) != 0)
		return NULL;
	madvise(aligned, bytes, MADV_NOHUGEPAGE);
	return aligned;
}

static void *work(void *argument)
{
	int thread = (int)(intptr_t)argument;
	size_t pages = refault ? REFAULT_PAGES : FAULT_PAGES;
	char *memory = region(pages * PAGE);
	uint64_t timed = 0, operations = 0, end, started;
	size_t at = 0;

	if (memory == NULL) {
		perror("mmap");
		exit(1);
	}
	if (refault)
		for (size_t i = 0; i < pages; i++)
			touch(memory + i * PAGE);
	pthread_barrier_wait(&barrier);
	end = now() + run_ns;
	do {
		started = now();
		for (int n = 0; n < BATCH; n++) {
			char *page = memory + at++ * PAGE;

			if (refault)
				madvise(page, PAGE, MADV_DONTNEED);
			touch(page);
			if (at == pages && refault)
				at = 0;
		}
		timed += now() - started;
		operations += BATCH;
		if (at == pages) {
			madvise(memory, pages * PAGE, MADV_DONTNEED);
			at = 0;
		}
	} while (now() < end);
	rates[thread] = operations * 1e9 / timed;
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX];
	double rate = 0;
	int count;

	if (argc != 4 || (count = atoi(argv[2])) < 1 || count > THREADS_MAX)
		return 2;
	refault = strcmp(argv[1], "refault") == 0;
	run_ns = strtoull(argv[3], NULL, 10) * 1000000ULL;
	pthread_barrier_init(&barrier, NULL, count);
	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i) != 0)
			return 1;
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < count; i++)
		rate += rates[i];
	printf("%.0f\n", rate);
	return 0;
}
