// Writes `count` numbered records into a ring, as a worker host would; a pause now and then lets rings run empty.
import { workerData } from 'node:worker_threads';
import { RingWriter } from '#src/events/ring.js';

const { buffer, lossy, count, actor, closes } = workerData;
const ring = new RingWriter(buffer, lossy);
for (let i = 0; i < count; i++) {
  ring.write(1 + (i % 7), actor, i, i, -i, actor, i >>> 3);
  if (i % 1000 === 999) ring.publish(i);
}
if (closes) ring.close();
else ring.publish(count);
