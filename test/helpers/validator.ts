/** JSON Schema as others read it. */
import { Ajv2020 } from 'ajv/dist/2020.js';

/** Whether a value is as `schema` says, by a validator that others wrote. */
export const validator = (schema: object): ((value: unknown) => boolean) => {
  const validate = new Ajv2020({ strict: false }).compile(schema);
  return (value) => validate(value);
};
