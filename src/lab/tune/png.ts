/** Pictures as PNG, where a converter is installed: few want one, and it is 5 MB. */
import { InputError } from '../../errors/errors.js';

/** Resvg's class, of which this much is used. */
type Converter = typeof import('@resvg/resvg-js').Resvg;

/**
 * The converter.
 * @throws InputError where none is installed, saying how it gets there
 */
export async function pngConverter(): Promise<Converter> {
  try {
    return (await import('@resvg/resvg-js')).Resvg;
  } catch {
    throw new InputError('--chart: PNG needs @resvg/resvg-js (npm install @resvg/resvg-js); .svg needs nothing');
  }
}

/** An SVG picture as PNG, two dots for each of its units. */
export async function png(svg: string): Promise<Uint8Array> {
  const Resvg = await pngConverter();
  const font = { loadSystemFonts: true, defaultFontFamily: 'DejaVu Sans', sansSerifFamily: 'DejaVu Sans' };
  return new Resvg(svg, { fitTo: { mode: 'zoom', value: 2 }, font }).render().asPng();
}
