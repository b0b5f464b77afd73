/** Which keys a schema knows at a place of its data: for whoever has misspelt one. */
import { z } from 'zod';

/** The schema of what stands at `path` in `data`, or null where it is none that has a name. */
function schemaAt(schema: unknown, data: unknown, path: readonly PropertyKey[]): unknown {
  const here = bare(schema, data);
  const [key, ...rest] = path;
  if (key === undefined) return here;
  const inner: unknown = typeof data === 'object' && data !== null ? Reflect.get(data, key) : undefined;
  if (here instanceof z.ZodObject) return schemaAt(Reflect.get(here.shape, key), inner, rest);
  if (here instanceof z.ZodArray) return schemaAt(here.element, inner, rest);
  return null;
}

/** Without what stands around it: defaults, options, and the choice that the data's kind makes. */
function bare(schema: unknown, data: unknown): unknown {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) return bare(schema.unwrap(), data);
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) return bare(schema.unwrap(), data);
  if (!(schema instanceof z.ZodDiscriminatedUnion)) return schema;
  const { discriminator } = schema.def;
  const kind: unknown = typeof data === 'object' && data !== null ? Reflect.get(data, discriminator) : undefined;
  return schema.options.find((option) => {
    if (!(option instanceof z.ZodObject)) return false;
    const named: unknown = Reflect.get(option.shape, discriminator);
    return named instanceof z.ZodType && named.safeParse(kind).success;
  });
}

/** The keys that are known there; none where nothing has keys. */
export function keysAt(schema: unknown, data: unknown, path: readonly PropertyKey[]): readonly string[] {
  const here = schemaAt(schema, data, path);
  return here instanceof z.ZodObject ? Object.keys(here.shape) : [];
}
