// Starts Swagger UI on /docs/<service>/; the page names its document in data-url.
const place = document.getElementById("swagger-ui");

SwaggerUIBundle({
  url: place.dataset.url,
  domNode: place,
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null, // no document leaves this machine
});
