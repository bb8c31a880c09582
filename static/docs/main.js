// Shows the description of the API that this server gives. Everything comes from the server itself.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null, // else the document would be given to a checker elsewhere
});
