// As much of XMLHttpRequest as grpc-web uses, over fetch: Node has none, browsers have their own.
export class XmlHttpRequest {
  readyState = 0;
  status = 0;
  statusText = "";
  responseText = "";
  response = null;
  responseType = "";
  onreadystatechange = null;
  #abort = new AbortController();
  #request = {};
  #headers = new Headers();

  open(verb, url) {
    this.#request = { method: verb, headers: {}, url };
    this.#become(1);
  }

  setRequestHeader(name, value) {
    this.#request.headers[name] = value;
  }

  getResponseHeader(name) {
    return this.#headers.get(name);
  }

  getAllResponseHeaders() {
    return [...this.#headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  }

  abort() {
    this.#abort.abort();
  }

  async send(body) {
    try {
      const { url, method, headers } = this.#request;
      const answer = await fetch(url, { method, headers, body, signal: this.#abort.signal });
      this.status = answer.status;
      this.#headers = answer.headers;
      this.#become(2);
      await (this.responseType === "arraybuffer" ? this.#whole(answer) : this.#text(answer));
      this.#become(4);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  }

  async #whole(answer) {
    this.response = await answer.arrayBuffer();
  }

  async #text(answer) {
    const decoder = new TextDecoder();
    for await (const chunk of answer.body) {
      this.responseText += decoder.decode(chunk, { stream: true });
      this.response = this.responseText;
      this.#become(3);
    }
  }

  #become(state) {
    this.readyState = state;
    this.onreadystatechange?.();
  }
}
