/** Examples of each command, for its help. */
export const EXAMPLES: Readonly<Record<string, readonly (readonly [words: string, why: string])[]>> = {
  stress: [
    [
      'stress --policy check-then-notify',
      'does looking at the pin first break on real threads? (silence proves nothing)',
    ],
    ['stress my.yaml --duration 2m --events run.perfetto.json', 'your scenario, every event for ui.perfetto.dev'],
    ['stress --legend', 'what the counters count'],
  ],
  compare: [['compare --policies classic,pinned-notifiers', 'what pinning costs on the same guest']],
  tune: [
    ['tune --stages placement', 'the worker count and placement alone'],
    ['tune my.yaml --apply --chart tune.svg', 'write the best setting into the scenario, and draw it'],
  ],
  explore: [
    ['explore --policy check-then-notify', 'a schedule that breaks it, small and drawn'],
    ['explore --strategy pct --depth 3 --schedules 100000', 'with the chance that a bug of that depth was missed'],
    ['explore pin-vs-write-protect --strategy exhaustive', 'a proof: every execution that differs'],
  ],
  replay: [
    ['replay pinfall.schedule', 'the execution that explore found, again'],
    ['replay pinfall.schedule --step', 'step by step, with page tables, counts and locks'],
    ['replay pinfall.schedule --format svg --out race.svg', 'its diagram as a picture'],
  ],
  litmus: [
    ['litmus bad_thread_2_check_then_notify', 'every outcome of a shipped test, proved'],
    ['litmus my.litmus --threads', 'the same actors on real threads'],
    ['litmus --check my.litmus', 'its mistakes only, as editors want them'],
  ],
  explain: [
    [
      "explain bad_thread_2_check_then_notify --outcome 'violation I-PINNED-S2'",
      'draw a schedule that breaks the rule',
    ],
    ["explain good_ksm_merge --outcome '(maps(a) == 2)'", 'draw one in which a condition holds'],
  ],
  zoo: [
    ['zoo', 'what bugs there are'],
    ['zoo run Z04', 'find one with every strategy, and prove its file clean without it'],
  ],
  dashboard: [['dashboard --policy check-then-notify', 'watch a run at http://127.0.0.1:7007/']],
  list: [['list --json', 'with the JSON Schema of events']],
};
