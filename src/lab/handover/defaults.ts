/** CPU seconds that a run's violations are looked for on one thread, where nobody says otherwise. */
export const HANDOVER_SECONDS = 20;
