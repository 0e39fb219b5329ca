/** Where set-up puts TensorFlow's binding. */
export const bindingPath = '@tensorflow/tfjs-node-gpu/lib/napi-v8/tfjs_binding.node';
