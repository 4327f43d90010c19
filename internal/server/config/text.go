package config

import (
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// setText sets v, a setting or an item of a list of them, from its text. The error
// states what is allowed and never repeats the text, which may be a secret.
func setText(v reflect.Value, text, oneof string) error {
	if oneof != "" && !slices.Contains(strings.Split(oneof, ", "), text) {
		return fmt.Errorf("must be one of %s", oneof)
	}
	switch target := v.Addr().Interface().(type) {
	case *netip.Prefix:
		return setPrefix(target, text)
	case **bool:
		return setTristate(target, text)
	case encoding.TextUnmarshaler:
		return target.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, ok := parseBool(text)
		if !ok {
			return errors.New("must be true or false")
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return errors.New("must be a whole number")
		}
		v.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return errors.New("must be a number")
		}
		v.SetFloat(f)
	default:
		return fmt.Errorf("has no text form: %s", v.Type())
	}
	return nil
}

// setList sets the list v from its items, separated by commas.
func setList(v reflect.Value, text, oneof string) error {
	list := reflect.MakeSlice(v.Type(), 0, 0)
	for part := range strings.SplitSeq(text, ",") {
		item := reflect.New(v.Type().Elem()).Elem()
		if err := setText(item, strings.TrimSpace(part), oneof); err != nil {
			return fmt.Errorf("each item, separated by commas, %w", err)
		}
		list = reflect.Append(list, item)
	}
	v.Set(list)
	return nil
}

// parseBool is stricter than strconv.ParseBool: the file and the environment know the same two words.
func parseBool(text string) (value, ok bool) {
	switch text {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

func setTristate(target **bool, text string) error {
	if text == "auto" {
		*target = nil
		return nil
	}
	b, ok := parseBool(text)
	if !ok {
		return errors.New("must be true, false or auto")
	}
	*target = &b
	return nil
}

func setPrefix(target *netip.Prefix, text string) error {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		*target = netip.PrefixFrom(addr, addr.BitLen())
		return nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return errors.New("must be an IP address or a network, such as 10.0.0.0/8")
	}
	*target = prefix.Masked()
	return nil
}
