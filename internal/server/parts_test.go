package server

import (
	"reflect"
	"testing"
)

// A method of the right name with other parameters would be passed over in silence.
func TestPartsHaveTheMethodsThatTheServerCalls(t *testing.T) {
	t.Parallel()
	called := map[string][]reflect.Type{
		"Start":      {reflect.TypeFor[starter](), reflect.TypeFor[fallibleStarter]()},
		"Release":    {reflect.TypeFor[releaser]()},
		"Stop":       {reflect.TypeFor[stopper](), reflect.TypeFor[fallibleStopper]()},
		"Erase":      {reflect.TypeFor[eraser]()},
		"Checks":     {reflect.TypeFor[checked]()},
		"Collectors": {reflect.TypeFor[measured]()},
		"Caches":     {reflect.TypeFor[caching]()},
	}
	for _, p := range mustStart(t, testConfig(t)).services.parts {
		of := reflect.TypeOf(p)
		for name, kinds := range called {
			_, has := of.MethodByName(name)
			fits := false
			for _, kind := range kinds {
				fits = fits || of.Implements(kind)
			}
			if has != fits {
				t.Errorf("the server does not call %s of %v", name, of)
			}
		}
	}
}
