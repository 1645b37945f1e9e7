"""The routes with their documentation, each declared once. `api_gateway.routes` puts them together."""
