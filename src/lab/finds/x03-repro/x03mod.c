// SPDX-License-Identifier: GPL-2.0
/*
 * x03mod: widens or closes the window between the unmap and the flush of
 * reclaim, for one task (kprobes; x03.c sets the parameters).
 *
 * mode 0  nothing
 *      1  a busy wait at the entry of try_to_unmap_flush(): the kernel's own order
 *      2  as 1, and try_to_unmap_flush() is also called at the entry of
 *         __remove_mapping()
 *      3  as 1, and flush_tlb_batched_pending() is called at the entry of
 *         do_swap_page(): before the PTL is taken, not under it
 *      4  a busy wait at the entry of try_to_unmap() instead
 */
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>

enum { NOTHING, WAIT, WAIT_FLUSH_BEFORE_REMOVE, WAIT_FLUSH_IN_FAULT, WAIT_BEFORE_UNMAP };

static int mode, delay_ms = 20, pid, tgid, armed;
static int delays, delays_pending, fixes, writable_seen;
module_param(mode, int, 0600);
module_param(delay_ms, int, 0600);
module_param(pid, int, 0600);
module_param(tgid, int, 0600);
module_param(armed, int, 0600);
module_param(delays, int, 0600);
module_param(delays_pending, int, 0600);
module_param(fixes, int, 0600);
module_param(writable_seen, int, 0600);

static void (*flush)(void);
static void (*flush_pending)(struct mm_struct *mm);

static bool is_ours(void)
{
	return READ_ONCE(armed) && current->pid == pid;
}

static int at_flush(struct kprobe *probe, struct pt_regs *regs)
{
	if (!is_ours() || mode < WAIT || mode > WAIT_FLUSH_IN_FAULT)
		return 0;
	delays++;
	if (current->tlb_ubc.flush_required)
		delays_pending++;
	if (current->tlb_ubc.writable)
		writable_seen++;
	mdelay(delay_ms);
	return 0;
}

static int at_remove(struct kprobe *probe, struct pt_regs *regs)
{
	if (is_ours() && mode == WAIT_FLUSH_BEFORE_REMOVE) {
		fixes++;
		flush();
	}
	return 0;
}

static int at_swap_in(struct kprobe *probe, struct pt_regs *regs)
{
	if (current->tgid == tgid && mode == WAIT_FLUSH_IN_FAULT) {
		fixes++;
		flush_pending(current->mm);
	}
	return 0;
}

static int at_unmap(struct kprobe *probe, struct pt_regs *regs)
{
	if (is_ours() && mode == WAIT_BEFORE_UNMAP) {
		delays++;
		mdelay(delay_ms);
	}
	return 0;
}

static int only_look_up(struct kprobe *probe, struct pt_regs *regs)
{
	return 0;
}

enum { FLUSH, REMOVE, SWAP_IN, UNMAP, PENDING, PROBES };

static struct kprobe probes[PROBES] = {
	[FLUSH] = { .symbol_name = "try_to_unmap_flush", .pre_handler = at_flush },
	[REMOVE] = { .symbol_name = "__remove_mapping", .pre_handler = at_remove },
	[SWAP_IN] = { .symbol_name = "do_swap_page", .pre_handler = at_swap_in },
	[UNMAP] = { .symbol_name = "try_to_unmap", .pre_handler = at_unmap },
	[PENDING] = { .symbol_name = "flush_tlb_batched_pending", .pre_handler = only_look_up },
};
static bool registered[PROBES];

static void unregister_all(void)
{
	int i;

	for (i = 0; i < PROBES; i++)
		if (registered[i])
			unregister_kprobe(&probes[i]);
}

static int __init x03_init(void)
{
	int i, error;

	for (i = 0; i < PROBES; i++) {
		error = register_kprobe(&probes[i]);
		registered[i] = !error;
		pr_warn("x03: %s %d %pS\n", probes[i].symbol_name, error, probes[i].addr);
	}
	/* without these there is nothing to call */
	if (!registered[FLUSH] || !registered[PENDING]) {
		unregister_all();
		return -ENOENT;
	}
	flush = (void *)probes[FLUSH].addr;
	flush_pending = (void *)probes[PENDING].addr;
	unregister_kprobe(&probes[PENDING]);
	registered[PENDING] = false;
	return 0;
}

static void __exit x03_exit(void)
{
	unregister_all();
}

module_init(x03_init);
module_exit(x03_exit);
MODULE_DESCRIPTION("widens or closes reclaim's deferred-flush window");
MODULE_LICENSE("GPL");
