// A function is a module with a default export; nothing has to be built.
export default (request) => `hello ${request.text() || 'world'}\n`;
