// SPDX-License-Identifier: Apache-2.0

package saml

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/beevik/etree"
)

const (
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"
	nsExclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
	nsXML       = "http://www.w3.org/XML/1998/namespace"
	nsXMLNS     = "http://www.w3.org/2000/xmlns/"
)

const whiteSpace = " \t\r\n"

// parse returns the root of a document that has nothing but elements and text,
// well-formed with regard to namespaces.
func parse(document []byte) (*etree.Element, error) {
	if err := plain(document); err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	doc.ReadSettings = etree.ReadSettings{
		CharsetReader: func(string, io.Reader) (io.Reader, error) {
			return nil, errors.New("not UTF-8")
		},
		PreserveDuplicateAttrs: true, // to see and refuse them
		MaxDepth:               maxDepth,
	}
	err := doc.ReadFromBytes(document)
	if errors.Is(err, etree.ErrMaxDepth) {
		return nil, refuse("its elements are nested too deep")
	}
	if err != nil {
		return nil, refuse("it is not well-formed XML in UTF-8")
	}
	roots, err := children(&doc.Element)
	if err != nil || len(roots) != 1 {
		return nil, refuse("it is not one element and nothing after it")
	}
	return roots[0], wellFormed(roots[0])
}

// plain refuses what is neither element nor text, before any parser sees it.
// In XML without these, "<" begins a tag and nothing else.
func plain(document []byte) error {
	if bytes.HasPrefix(document, []byte("<?xml ")) {
		document = document[len("<?xml "):]
	}
	for _, mark := range []struct{ begins, sentence string }{
		{"<!--", "it has a comment: comments are refused, they can cut a name in two"},
		{"<![", "it has a CDATA section"},
		{"<!", "it has a document type or an entity"},
		{"<?", "it has a processing instruction"},
	} {
		if bytes.Contains(document, []byte(mark.begins)) {
			return refuse(mark.sentence)
		}
	}
	return nil
}

// wellFormed checks what the parsers leave unchecked: names, prefixes, and
// attributes that are there twice. Two parsers that read a document that passes
// read the same.
func wellFormed(root *etree.Element) error {
	elements := 0
	var walk func(e *etree.Element) error
	walk = func(e *etree.Element) error {
		if elements++; elements > maxElements || len(e.Attr) > maxAttributes {
			return refuse("it has too many elements or attributes")
		}
		if !isName(e.Tag) || e.Space != "" && (!isName(e.Space) || e.NamespaceURI() == "") {
			return refuse("the name or prefix of an element is malformed or not declared")
		}
		if err := checkAttributes(e); err != nil {
			return err
		}
		for _, child := range e.ChildElements() {
			if err := walk(child); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(root)
}

func checkAttributes(e *etree.Element) error {
	seen := make(map[[2]string]bool, len(e.Attr))
	for _, a := range e.Attr {
		space := a.NamespaceURI()
		switch {
		case !isName(a.Key) || a.Space != "" && !isName(a.Space):
			return refuse("the name of an attribute is malformed")
		case declares(a):
			reserved := a.Key == "xml" || a.Value == nsXML || a.Value == nsXMLNS
			if reserved || a.Space != "" && (a.Key == "xmlns" || a.Value == "") {
				return refuse("a namespace declaration is malformed")
			}
			space = nsXMLNS + a.Space
		case a.Space == "xml":
			space = nsXML
		case a.Space != "" && space == "":
			return refuse("the prefix of an attribute is not declared")
		}
		if seen[[2]string{space, a.Key}] {
			return refuse("an attribute is there twice")
		}
		seen[[2]string{space, a.Key}] = true
	}
	return nil
}

// declares reports whether a is a namespace declaration.
func declares(a etree.Attr) bool { return a.Space == "xmlns" || a.Space == "" && a.Key == "xmlns" }

// isName reports whether s is an NCName, of ASCII.
func isName(s string) bool {
	for i, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_'
		if !letter && (i == 0 || c != '-' && c != '.' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

func is(e *etree.Element, space, tag string) bool {
	return e.Tag == tag && e.NamespaceURI() == space
}

// children returns the elements in e, which has no text of its own.
func children(e *etree.Element) ([]*etree.Element, error) {
	var all []*etree.Element
	for _, token := range e.Child {
		switch token := token.(type) {
		case *etree.Element:
			all = append(all, token)
		case *etree.CharData:
			if strings.Trim(token.Data, whiteSpace) != "" {
				return nil, refuse("there is text between elements")
			}
		case *etree.ProcInst: // the XML declaration: see plain
		default:
			return nil, refuse("it has more than elements and text")
		}
	}
	return all, nil
}

// text returns all the text in e, which has no element of its own. (etree's
// Text stops at the first thing that is not text.)
func text(e *etree.Element) (string, error) {
	var all strings.Builder
	for _, token := range e.Child {
		data, ok := token.(*etree.CharData)
		if !ok {
			return "", refuse("there is more than text in " + e.Tag)
		}
		all.WriteString(data.Data)
	}
	return all.String(), nil
}

// content returns the children of e by name. Names lists all that may be there,
// of namespace space: "Name" exactly once, "Name?" at most once, "Name+" at
// least once, "Name*" at will.
func content(e *etree.Element, space string, names ...string) (map[string][]*etree.Element, error) {
	all, err := children(e)
	if err != nil {
		return nil, err
	}
	byName := map[string][]*etree.Element{}
	for _, child := range all {
		known := func(name string) bool { return strings.TrimRight(name, "?+*") == child.Tag }
		if child.NamespaceURI() != space || !slices.ContainsFunc(names, known) {
			return nil, refuse("there is an element in " + e.Tag + " that is not known here")
		}
		byName[child.Tag] = append(byName[child.Tag], child)
	}
	for _, name := range names {
		bare := strings.TrimRight(name, "?+*")
		count := len(byName[bare])
		if count == 0 && (name == bare || strings.HasSuffix(name, "+")) {
			return nil, refuse("there is no " + bare + " in " + e.Tag)
		}
		if count > 1 && (name == bare || strings.HasSuffix(name, "?")) {
			return nil, refuse("there is more than one " + bare + " in " + e.Tag)
		}
	}
	return byName, nil
}

// attributes returns the attributes of e, without a prefix. Names lists all
// that may be there: "Name" must, "Name?" may.
func attributes(e *etree.Element, names ...string) (map[string]string, error) {
	values := map[string]string{}
	for _, a := range e.Attr {
		if declares(a) {
			continue
		}
		if a.Space != "" || !slices.Contains(names, a.Key) && !slices.Contains(names, a.Key+"?") {
			return nil, refuse(e.Tag + " has an attribute that is not known here")
		}
		values[a.Key] = a.Value
	}
	for _, name := range names {
		if _, ok := values[name]; !ok && !strings.HasSuffix(name, "?") {
			return nil, refuse(e.Tag + " has no " + name)
		}
	}
	return values, nil
}
