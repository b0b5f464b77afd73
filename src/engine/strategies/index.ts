/** The strategies that `explore --strategy` knows. */
import { pct } from './pct.js';
import { random } from './random.js';
import type { StrategyKind } from './strategy.js';

export const STRATEGIES: readonly StrategyKind[] = [random, pct];

export const strategyKind = (name: string): StrategyKind | undefined => STRATEGIES.find((kind) => kind.name === name);
