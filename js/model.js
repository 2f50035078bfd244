// Requests, changes and listeners of a widget's model.

/** @import { Model, Request } from "./messages.js" */
/** @typedef {[event: string, listener: (...args: any[]) => void][]} Listeners */

/**
 * Send a request.
 * @param {Model<any>} model
 * @param {Request} request
 * @param {ArrayBuffer[]} [buffers]
 */
export function send(model, request, buffers) {
  model.send(request, undefined, buffers);
}

/**
 * Set traits and send them.
 * @template {object} Traits
 * @param {Model<Traits>} model
 * @param {Partial<Traits>} values
 */
export function change(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(/** @type {any} */ (name), value);
  model.save_changes();
}

/**
 * Listen to events of the model; return the function that ends it.
 * @param {Model<any>} model
 * @param {Listeners} listeners
 */
export function listen(model, listeners) {
  for (const [event, listener] of listeners) model.on(event, listener);
  return () => {
    for (const [event, listener] of listeners) model.off(event, listener);
  };
}
