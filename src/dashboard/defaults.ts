/** Where the dashboard is served unless somebody says otherwise. */
export const DEFAULT_HOST = '127.0.0.1';
export const DEFAULT_PORT = 7007;
/** How long the explorer looks for a violation's schedule. */
export const EXPLAIN_SECONDS = 60;
