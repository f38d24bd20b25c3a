/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * UTF-8 in text of any bytes.
 */
#include "base/utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

size_t utf8_sequence(const char *text)
{
	const unsigned char *byte = (const unsigned char *)text;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	if (byte[0] == 0)
		return 0;
	if (byte[0] < 0x80)
		return 1;
	size_t len = byte[0] >= 0xf0 ? 4 : byte[0] >= 0xe0 ? 3 : 2;
	if (byte[0] < 0xc2 || byte[0] > 0xf4)
		return 0;
	uint32_t point = byte[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((byte[i] & 0xc0) != 0x80) /* the NUL at the end too */
			return 0;
		point = point << 6 | (byte[i] & 0x3f);
	}
	bool surrogate = point >= 0xd800 && point <= 0xdfff;
	return point < least[len] || point > 0x10ffff || surrogate ? 0 : len;
}

bool utf8_is_control(const char *text)
{
	const unsigned char *byte = (const unsigned char *)text;
	if (byte[0] < 0x80)
		return (byte[0] && byte[0] < 0x20) || byte[0] == 0x7f;
	if (byte[0] == 0xc2)
		return byte[1] >= 0x80 && byte[1] < 0xa0;
	if (byte[0] != 0xe2)
		return false;
	if (byte[1] == 0x80)
		return byte[2] >= 0xa8 && byte[2] <= 0xae;
	return byte[1] == 0x81 && byte[2] >= 0xa6 && byte[2] <= 0xa9;
}

size_t utf8_show(const char **text, char *buf)
{
	size_t len = utf8_sequence(*text), bytes = len ? len : 1, shown = 0;
	if (len && !utf8_is_control(*text)) {
		memcpy(buf, *text, len);
		shown = len;
	} else {
		for (size_t i = 0; i < bytes; i++)
			shown += (size_t)snprintf(buf + shown, 5, "\\x%02x", (unsigned char)(*text)[i]);
	}
	buf[shown] = 0;
	*text += bytes;
	return shown;
}
