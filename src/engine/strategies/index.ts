/** The strategies that `explore --strategy` knows. The first is the default. */
import { dfs } from './dfs.js';
import { pct } from './pct.js';
import { portfolio } from './portfolio.js';
import { pos } from './pos.js';
import { random } from './random.js';
import type { StrategyKind } from './strategy.js';
import { surw } from './surw.js';

export const STRATEGIES: readonly StrategyKind[] = [portfolio, random, pct, pos, surw, dfs];

export const strategyKind = (name: string): StrategyKind | undefined => STRATEGIES.find((kind) => kind.name === name);
