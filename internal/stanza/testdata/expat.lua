-- expat.lua answers how Prosody's parser reads documents: expat by way of luaexpat, with namespaces, as util/xmppstream.lua has it.
-- A question is a document as a netstring. The answer is a netstring, in which each event is a letter with netstrings behind it:
-- "s" name, number of attributes, their names and values; "e"; "t" text; "x" what no stream may contain; last "f" fault, empty for none.
-- A name is namespace and local name with a line feed between.
local lxp = require "lxp"
local separator = "\1"

local out
local function say(letter, ...)
	out[#out + 1] = letter
	for _, s in ipairs { ... } do
		out[#out + 1] = #s .. ":" .. s .. ","
	end
end

local function name(s)
	local space, localname = s:match("^(.-)" .. separator .. "(.*)$")
	return (space or "") .. "\n" .. (localname or s)
end

local restricted = function() say("x", "restricted") end
local callbacks = {
	StartElement = function(_, tag, attrs)
		local said = {}
		for i = 1, #attrs do
			said[#said + 1] = name(attrs[i])
			said[#said + 1] = attrs[attrs[i]]
		end
		say("s", name(tag), tostring(#attrs), table.unpack(said))
	end,
	EndElement = function() say("e") end,
	CharacterData = function(_, text) say("t", text) end,
	Comment = restricted,
	ProcessingInstruction = restricted,
	StartDoctypeDecl = restricted,
}

local function read(document)
	out = {}
	local parser = lxp.new(callbacks, separator)
	local ok, fault = parser:parse(document)
	pcall(parser.close, parser)
	say("f", ok and "" or tostring(fault))
	return table.concat(out)
end

while true do
	local size = io.read("n")
	if not size then break end
	io.read(1)
	local answer = read(io.read(size) or "")
	io.read(1)
	io.write(#answer, ":", answer, ",")
	io.flush()
end
