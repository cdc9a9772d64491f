// Services out of descriptors, so that no code is generated.
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

let registry;

/** The service of a name, as connect's clients want it. */
export async function service(env, name) {
  if (!registry) {
    const b = await (await fetch(env.descriptors)).arrayBuffer();
    registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, new Uint8Array(b)));
  }
  const s = registry.getService(name);
  if (!s) throw new Error(`there is no service ${name}`);
  return s;
}
