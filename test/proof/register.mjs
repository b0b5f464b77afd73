// node --import test/proof/register.mjs: see hooks.mjs
import { register } from 'node:module';

const dist = new URL('../../dist/', import.meta.url).href;
register('./hooks.mjs', import.meta.url, { data: { mutant: process.env.MUTANT ?? '', dist } });
