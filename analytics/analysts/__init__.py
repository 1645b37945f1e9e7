"""SQL for analysts: the views they read, who may, an endpoint over the embedded engine, exports, a notebook."""
