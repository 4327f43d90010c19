// Package matrixjssdk tests the server with matrix-js-sdk, the library of Element Web, in a browser: `make test-js-sdk` builds the
// page of app.js, and runs the tests, which have the tag jssdk.
package matrixjssdk
